{{/*
Every rule that concerns more than one value. What one value may be by itself stands beside it in values.yaml. Each fault
says what to change; all that are found are told at once.
*/}}
{{- define "flowscale.validate" -}}
{{- $faults := list -}}
{{- range $rule := list "worker" "api" "access" "storage" "webhooks" "redis" "autoscaling" "networking" -}}
{{- range splitList "\n" (include (printf "flowscale.validate.%s" $rule) $) -}}
{{- if trim . -}}{{- $faults = append $faults (trim .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $faults -}}
{{- fail (printf "\n\nThese values do not fit together:\n  - %s\n" (join "\n  - " $faults)) -}}
{{- end -}}
{{- end -}}

{{/* "true" for 0 and 0%. */}}
{{- define "flowscale.isNothing" -}}
{{- has (toString .) (list "0" "0%") -}}
{{- end -}}

{{- define "flowscale.validate.worker" -}}
{{- $worker := .Values.worker -}}
{{- $least := add (int64 $worker.renderTimeoutSeconds) 60 -}}
{{- with $worker.terminationGracePeriodSeconds }}
{{- if lt (int64 .) $least }}
worker.terminationGracePeriodSeconds is {{ int64 . }}, which would kill renders that may take worker.renderTimeoutSeconds ({{ int64 $worker.renderTimeoutSeconds }}): set it to {{ $least }} or more, or to null, which computes it
{{- end }}
{{- end }}
{{- with include "flowscale.memoryLimit" $worker.resources }}
{{- $needed := include "flowscale.worker.memory" $ | int64 }}
{{- if lt (int64 .) $needed }}
worker.resources.limits.memory is {{ . }} bytes, but {{ int64 $worker.concurrency }} render(s) at once need {{ $needed }} (worker.concurrency times worker.renderMemoryBytes, and 200 MB): set it to {{ div (add $needed 1048575) 1048576 }}Mi or more, or lower one of the two
{{- end }}
{{- end }}
{{- if and (eq (include "flowscale.isNothing" $worker.rollout.maxSurge) "true") (eq (include "flowscale.isNothing" $worker.rollout.maxUnavailable) "true") }}
worker.rollout.maxSurge and worker.rollout.maxUnavailable are both 0, so no rollout could begin: set one of them to 1
{{- end }}
{{- end -}}

{{- define "flowscale.validate.api" -}}
{{- $api := .Values.api -}}
{{- $least := add (int64 $api.preStopSleepSeconds) 25 -}}
{{- if lt (int64 $api.terminationGracePeriodSeconds) $least }}
api.terminationGracePeriodSeconds is {{ int64 $api.terminationGracePeriodSeconds }}, which would cut requests under way, who have 20 s after api.preStopSleepSeconds ({{ int64 $api.preStopSleepSeconds }}): set it to {{ $least }} or more
{{- end }}
{{- if and (eq (include "flowscale.isNothing" $api.rollout.maxSurge) "true") (eq (include "flowscale.isNothing" $api.rollout.maxUnavailable) "true") }}
api.rollout.maxSurge and api.rollout.maxUnavailable are both 0, so no rollout could begin: set one of them to 1
{{- end }}
{{- if $api.autoscaling.enabled }}
{{- if gt (int64 $api.autoscaling.minReplicas) (int64 $api.autoscaling.maxReplicas) }}
api.autoscaling.minReplicas ({{ int64 $api.autoscaling.minReplicas }}) is more than api.autoscaling.maxReplicas ({{ int64 $api.autoscaling.maxReplicas }}): raise the one or lower the other
{{- end }}
{{- if not (or $api.autoscaling.targetCPUPercent $api.autoscaling.targetMemoryPercent) }}
api.autoscaling is on and looks at nothing: set api.autoscaling.targetCPUPercent or api.autoscaling.targetMemoryPercent
{{- end }}
{{- if and $api.autoscaling.targetCPUPercent (not (dig "requests" "cpu" "" $api.resources)) }}
api.autoscaling.targetCPUPercent is a share of the requested CPU, and none is requested: set api.resources.requests.cpu
{{- end }}
{{- if and $api.autoscaling.targetMemoryPercent (not (dig "requests" "memory" "" $api.resources)) }}
api.autoscaling.targetMemoryPercent is a share of the requested memory, and none is requested: set api.resources.requests.memory
{{- end }}
{{- end }}
{{- if and $api.service.nodePort (eq $api.service.type "ClusterIP") }}
api.service.nodePort is set, and a Service of type ClusterIP has none: set api.service.type to NodePort, or the port to null
{{- end }}
{{- end -}}

{{- define "flowscale.validate.storage" -}}
{{- $storage := .Values.storage -}}
{{- $modes := $storage.persistence.accessModes -}}
{{- if eq $storage.type "local" }}
{{- if has "ReadWriteMany" $modes }}
storage.type is local, which means one node, and storage.persistence.accessModes has ReadWriteMany: set storage.type to nfs, or leave the access modes empty
{{- end }}
{{- range $name := list "api" "worker" }}
{{- $part := get $.Values $name }}
{{- if $part.topologySpreadConstraints }}
{{ $name }}.topologySpreadConstraints cannot be met with storage.type local, whose volume keeps all pods on one node: leave them empty, or set storage.type to nfs or a bucket
{{- end }}
{{- if dig "podAntiAffinity" "requiredDuringSchedulingIgnoredDuringExecution" (list) $part.affinity }}
{{ $name }}.affinity requires pods to stay apart, which storage.type local forbids, whose volume keeps all pods on one node: prefer it only, or set storage.type to nfs or a bucket
{{- end }}
{{- end }}
{{- else if and (eq $storage.type "nfs") $modes (not (has "ReadWriteMany" $modes)) }}
storage.type is nfs, whose volume every node mounts, and storage.persistence.accessModes has no ReadWriteMany: add it, or set storage.type to local, which keeps all pods on one node
{{- end }}
{{- if and (has $storage.type (list "s3" "r2" "supabase")) (not (get $storage $storage.type).bucket) }}
storage.type is {{ $storage.type }}, and no bucket is named: set storage.{{ $storage.type }}.bucket
{{- end }}
{{- if and (eq $storage.type "r2") (not (or $storage.r2.accountId $storage.r2.endpointUrl)) }}
storage.type is r2, and nothing says where: set storage.r2.accountId or storage.r2.endpointUrl
{{- end }}
{{- if and (eq $storage.type "supabase") (not $storage.supabase.url) }}
storage.type is supabase, and nothing says where: set storage.supabase.url to the project's address
{{- end }}
{{- if and (has $storage.type (list "r2" "supabase")) (not (get $storage $storage.type).existingSecret) }}
storage.type is {{ $storage.type }}, which knows no workload identity: put a key into a Secret and name it in storage.{{ $storage.type }}.existingSecret
{{- end }}
{{- if and (eq $storage.type "supabase") $storage.supabase.anonKeyKey (not $storage.supabase.serviceKeyKey) }}
storage.supabase.anonKeyKey is set, and only signs a session of the service key: set storage.supabase.serviceKeyKey too, or neither
{{- end }}
{{- if and (ne $storage.type "s3") $storage.s3.bucket }}
storage.s3.bucket is set, and storage.type is {{ $storage.type }}: set storage.type to s3, or take the bucket out
{{- end }}
{{- if and (ne $storage.type "r2") $storage.r2.bucket }}
storage.r2.bucket is set, and storage.type is {{ $storage.type }}: set storage.type to r2, or take the bucket out
{{- end }}
{{- if and (ne $storage.type "supabase") $storage.supabase.url }}
storage.supabase.url is set, and storage.type is {{ $storage.type }}: set storage.type to supabase, or take the address out
{{- end }}
{{- end -}}

{{- define "flowscale.validate.webhooks" -}}
{{- $webhooks := .Values.webhooks -}}
{{- if and (or $webhooks.urls $webhooks.urlKey $webhooks.allowNetworks) (not $webhooks.existingSecret) }}
webhooks are set up, and nothing signs them: put a secret (whsec_...) into a Secret and name it in webhooks.existingSecret
{{- end }}
{{- if and $webhooks.urls $webhooks.urlKey }}
webhooks.urls and webhooks.urlKey both name addresses: set only one of them
{{- end }}
{{- $bucket := get .Values.storage .Values.storage.type | default dict }}
{{- if and $webhooks.existingSecret (not .Values.api.publicUrl) (not (get $bucket "publicBaseUrl")) }}
webhooks say where outputs are, and nothing tells it: set api.publicUrl, the address under which browsers reach the gateway
{{- end }}
{{- if not $webhooks.allowNetworks }}
{{- range $webhooks.urls }}
{{- if hasPrefix "http:" . }}
webhooks.urls holds an http:// address, which only a network of yours may have: use https://, or name its network in webhooks.allowNetworks
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "flowscale.validate.redis" -}}
{{- $bundled := .Values.redis.bundled -}}
{{- $external := .Values.redis.external -}}
{{- if eq .Values.redis.mode "bundled" }}
{{- if or $external.host $external.url $external.urlKey $external.sentinel.hosts }}
redis.external names a server, and redis.mode is bundled: set redis.mode to external, or take the server out
{{- end }}
{{- $limit := include "flowscale.memoryLimit" $bundled.resources }}
{{- if not (or $limit $bundled.maxmemory) }}
redis.bundled has no limit of memory: set redis.bundled.resources.limits.memory, of which the data may take 70 %, or redis.bundled.maxmemory
{{- end }}
{{- if and $limit $bundled.maxmemory (ge (include "flowscale.redis.bytes" $bundled.maxmemory | int64) (int64 $limit)) }}
redis.bundled.maxmemory ({{ $bundled.maxmemory }}) leaves nothing of redis.bundled.resources.limits.memory for the server itself: lower the one or raise the other
{{- end }}
{{- if and $bundled.adminPasswordKey (eq $bundled.adminPasswordKey $bundled.passwordKey) }}
redis.bundled.adminPasswordKey and redis.bundled.passwordKey are the same: FlowScale's parts would know the password of who may do everything; give it a key of its own, or leave it empty
{{- end }}
{{- else }}
{{- $ways := 0 }}
{{- range list $external.host $external.url $external.urlKey $external.sentinel.hosts }}
{{- if . }}{{ $ways = add1 $ways }}{{ end }}
{{- end }}
{{- if eq (int $ways) 0 }}
redis.mode is external, and no server is named: set redis.external.host, or .url, or .existingSecret with .urlKey, or .sentinel.hosts
{{- else if gt (int $ways) 1 }}
redis.external names the server in more than one way: set only one of host, url, urlKey and sentinel.hosts
{{- end }}
{{- if and $external.urlKey (not $external.existingSecret) }}
redis.external.urlKey is a key of a Secret, and none is named: set redis.external.existingSecret
{{- end }}
{{- if regexMatch "://[^/]*@" $external.url }}
redis.external.url holds a user or a password, which everybody who may read pods would see: put the address into a Secret, and name it in redis.external.existingSecret and redis.external.urlKey
{{- end }}
{{- if and $external.url $external.tls.enabled (not (hasPrefix "rediss" $external.url)) }}
redis.external.tls.enabled is true, and redis.external.url says redis://: begin it with rediss://
{{- end }}
{{- if and $external.tls.caSecret (not $external.tls.enabled) (or $external.host $external.sentinel.hosts) }}
redis.external.tls.caSecret names authorities, and redis.external.tls.enabled is false: set it to true, or take the Secret out
{{- end }}
{{- end }}
{{- end -}}

{{- define "flowscale.validate.access" -}}
{{- if and .Values.admin.key .Values.admin.existingSecret }}
admin.key and admin.existingSecret are two ways to give the admin key: leave one of them empty
{{- end }}
{{- end -}}

{{- define "flowscale.validate.autoscaling" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) }}
autoscaling.minReplicas ({{ int64 $scaling.minReplicas }}) is more than autoscaling.maxReplicas ({{ int64 $scaling.maxReplicas }}): raise the one or lower the other
{{- end }}
{{- if and $scaling.jobsPerReplica $scaling.maxWaitSeconds }}
autoscaling.jobsPerReplica and autoscaling.maxWaitSeconds are two ways to say how many workers there should be: set one of them to null
{{- end }}
{{- if not (or $scaling.jobsPerReplica $scaling.maxWaitSeconds) }}
autoscaling has no target: set autoscaling.jobsPerReplica or autoscaling.maxWaitSeconds
{{- end }}
{{- if eq $scaling.mode "keda" }}
{{- if $scaling.maxWaitSeconds }}
autoscaling.maxWaitSeconds is known by the operator alone, and autoscaling.mode is keda: set autoscaling.jobsPerReplica, and autoscaling.maxWaitSeconds to null
{{- end }}
{{- if and (eq .Values.redis.mode "external") (or .Values.redis.external.url .Values.redis.external.urlKey) }}
autoscaling.mode is keda, which takes no address: name the server by redis.external.host or redis.external.sentinel.hosts instead of url or urlKey
{{- end }}
{{- end }}
{{- end -}}

{{- define "flowscale.validate.networking" -}}
{{- $ingress := .Values.ingress -}}
{{- if and $ingress.enabled (not $ingress.hosts) }}
ingress.enabled is true, and no host is named: set ingress.hosts to the names under which browsers reach FlowScale
{{- end }}
{{- if and $ingress.enabled $ingress.tlsSecret (not $ingress.tls) }}
ingress.tlsSecret is set, and ingress.tls is false: set it to true, or take the Secret out
{{- end }}
{{- if and .Values.gatewayApi.enabled (not .Values.gatewayApi.parentRefs) }}
gatewayApi.enabled is true, and the route belongs to no Gateway: set gatewayApi.parentRefs, such as [{name: edge, namespace: networking}]
{{- end }}
{{- end -}}
