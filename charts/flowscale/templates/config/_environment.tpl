{{/*
The environment of every part, in one place. docs/configuration.md tells the settings.

The variables stand in the pods themselves and in no ConfigMap: a pod that is restarted during a rollout must find the
settings of its own version, since FlowScale refuses to start with one that it does not know. Passwords and keys are
references to Secrets.
*/}}

{{/* `dict "name" "value"` pairs in order: a variable for each value that is not empty. */}}
{{- define "flowscale.variable" -}}
{{- $value := .value -}}
{{- if or (kindIs "float64" $value) (kindIs "int64" $value) (kindIs "int" $value) -}}{{- $value = $value | int64 | toString -}}{{- end -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: {{ .name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "flowscale.secretVariable" }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret | quote }}
      key: {{ .key | quote }}
{{- end -}}

{{/* Variables of all three parts: the queue, its server, the logs. */}}
{{- define "flowscale.environment.shared" -}}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_LOG_LEVEL" "value" .Values.logs.level) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_LOG_FORMAT" "value" .Values.logs.format) }}
{{- include "flowscale.variable" (dict "name" "QUEUE_MODE" "value" "redis") }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_QUEUE_MAX_WAITING" "value" .Values.queue.maxWaiting) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_JOB_RETENTION" "value" .Values.queue.jobRetentionSeconds) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_REDIS_PREFIX" "value" .Values.redis.prefix) }}
{{- if eq .Values.redis.mode "bundled" }}
{{- include "flowscale.variable" (dict "name" "REDIS_HOST" "value" (include "flowscale.componentName" (dict "root" . "component" "redis"))) }}
{{- include "flowscale.variable" (dict "name" "REDIS_PORT" "value" "6379") }}
{{- include "flowscale.variable" (dict "name" "REDIS_USERNAME" "value" "flowscale") }}
{{- include "flowscale.secretVariable" (dict "name" "REDIS_PASSWORD" "secret" (include "flowscale.redisSecretName" .) "key" .Values.redis.bundled.passwordKey) }}
{{- else }}
{{- include "flowscale.environment.external" .Values.redis.external }}
{{- end }}
{{- end -}}

{{- define "flowscale.environment.external" -}}
{{- if and .existingSecret .urlKey }}
{{- include "flowscale.secretVariable" (dict "name" "REDIS_URL" "secret" .existingSecret "key" .urlKey) }}
{{- else }}
{{- if and .existingSecret .passwordKey }}
{{- include "flowscale.secretVariable" (dict "name" "REDIS_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- end }}
{{- if .url }}
{{- include "flowscale.variable" (dict "name" "REDIS_URL" "value" .url) }}
{{- else if .sentinel.hosts }}
{{- $scheme := ternary "rediss" "redis" .tls.enabled }}
{{- $login := "" }}
{{- if and .existingSecret .passwordKey }}
{{- /* Kubernetes puts the password in place of $(REDIS_PASSWORD) when it starts the container. */}}
{{- $login = printf "%s:$(REDIS_PASSWORD)@" .username }}
{{- end }}
{{- include "flowscale.variable" (dict "name" "REDIS_URL" "value" (printf "%s+sentinel://%s%s/%s/%d" $scheme $login (join "," .sentinel.hosts) .sentinel.service (int .database))) }}
{{- else }}
{{- include "flowscale.variable" (dict "name" "REDIS_HOST" "value" .host) }}
{{- include "flowscale.variable" (dict "name" "REDIS_PORT" "value" .port) }}
{{- include "flowscale.variable" (dict "name" "REDIS_USERNAME" "value" .username) }}
{{- include "flowscale.variable" (dict "name" "REDIS_DB" "value" .database) }}
{{- include "flowscale.variable" (dict "name" "REDIS_TLS" "value" .tls.enabled) }}
{{- end }}
{{- end }}
{{- if .tls.caSecret }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_REDIS_CA_FILE" "value" "/etc/flowscale/redis-ca/ca.crt") }}
{{- end }}
{{- end -}}

{{/* Variables of gateways and workers: where traces go. */}}
{{- define "flowscale.environment.tracing" -}}
{{- $tracing := .Values.tracing -}}
{{- if $tracing.endpoint }}
{{- include "flowscale.variable" (dict "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "value" $tracing.endpoint) }}
{{- if $tracing.headersSecret }}
{{- include "flowscale.secretVariable" (dict "name" "OTEL_EXPORTER_OTLP_HEADERS" "secret" $tracing.headersSecret "key" $tracing.headersKey) }}
{{- end }}
{{- include "flowscale.variable" (dict "name" "OTEL_TRACES_SAMPLER" "value" "parentbased_traceidratio") }}
{{- include "flowscale.variable" (dict "name" "OTEL_TRACES_SAMPLER_ARG" "value" (printf "%v" $tracing.sampleRatio)) }}
{{- $attributes := merge (dict) $tracing.resourceAttributes (dict "k8s.namespace.name" .Release.Namespace "service.namespace" .Release.Name) }}
{{- $pairs := list }}
{{- range $name := keys $attributes | sortAlpha }}
{{- $pairs = append $pairs (printf "%s=%s" $name (get $attributes $name)) }}
{{- end }}
{{- include "flowscale.variable" (dict "name" "OTEL_RESOURCE_ATTRIBUTES" "value" (join "," $pairs)) }}
{{- end }}
{{- end -}}

{{/* Variables of gateways and workers: where files live. */}}
{{- define "flowscale.environment.storage" -}}
{{- $storage := .Values.storage -}}
{{- include "flowscale.variable" (dict "name" "STORAGE_TYPE" "value" $storage.type) }}
{{- include "flowscale.variable" (dict "name" "STORAGE_DIR" "value" "/data") }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_UPLOAD_EXPIRY" "value" $storage.uploadExpirySeconds) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_UPLOAD_RETENTION" "value" $storage.uploadRetentionSeconds) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_OUTPUT_RETENTION" "value" $storage.outputRetentionSeconds) }}
{{- if eq (include "flowscale.hasVolume" .) "false" }}
{{- $bucket := get $storage $storage.type }}
{{- include "flowscale.variable" (dict "name" "S3_BUCKET" "value" $bucket.bucket) }}
{{- include "flowscale.variable" (dict "name" "S3_REGION" "value" (get $bucket "region")) }}
{{- include "flowscale.variable" (dict "name" "S3_ENDPOINT_URL" "value" (get $bucket "endpointUrl")) }}
{{- include "flowscale.variable" (dict "name" "S3_PREFIX" "value" $bucket.prefix) }}
{{- include "flowscale.variable" (dict "name" "S3_PUBLIC_BASE_URL" "value" $bucket.publicBaseUrl) }}
{{- include "flowscale.variable" (dict "name" "R2_ACCOUNT_ID" "value" (get $bucket "accountId")) }}
{{- include "flowscale.variable" (dict "name" "SUPABASE_URL" "value" (get $bucket "url")) }}
{{- if and $bucket.existingSecret (get $bucket "serviceKeyKey") }}
{{- include "flowscale.secretVariable" (dict "name" "SUPABASE_SERVICE_KEY" "secret" $bucket.existingSecret "key" $bucket.serviceKeyKey) }}
{{- with $bucket.anonKeyKey }}
{{- include "flowscale.secretVariable" (dict "name" "SUPABASE_ANON_KEY" "secret" $bucket.existingSecret "key" .) }}
{{- end }}
{{- else if $bucket.existingSecret }}
{{- include "flowscale.secretVariable" (dict "name" "S3_ACCESS_KEY_ID" "secret" $bucket.existingSecret "key" $bucket.accessKeyIdKey) }}
{{- include "flowscale.secretVariable" (dict "name" "S3_SECRET_ACCESS_KEY" "secret" $bucket.existingSecret "key" $bucket.secretAccessKeyKey) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "flowscale.environment.api" -}}
{{- $api := .Values.api -}}
{{- include "flowscale.variable" (dict "name" "HOST" "value" $api.host) }}
{{- include "flowscale.variable" (dict "name" "PORT" "value" $api.containerPort) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_PUBLIC_URL" "value" $api.publicUrl) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_TRUSTED_PROXIES" "value" (join "," (concat $api.trustedProxies (include "flowscale.ingress.fronts" . | fromYamlArray)))) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_CORS_ORIGINS" "value" (join "," $api.corsOrigins)) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_AUTH" "value" .Values.auth.mode) }}
{{- include "flowscale.secretVariable" (dict "name" "FLOWSCALE_ADMIN_KEY" "secret" (include "flowscale.adminSecretName" .) "key" .Values.admin.secretKey) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_UPLOAD_BYTES" "value" $api.maxUploadBytes) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_BODY_BYTES" "value" $api.maxBodyBytes) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_ADMIN_READ_ONLY" "value" $api.adminReadOnly) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_CONNECTIONS" "value" $api.maxConnections) }}
{{- include "flowscale.environment.webhooks" .Values.webhooks }}
{{- end -}}

{{- define "flowscale.environment.webhooks" -}}
{{- if .existingSecret }}
{{- include "flowscale.secretVariable" (dict "name" "FLOWSCALE_WEBHOOK_SECRET" "secret" .existingSecret "key" .secretKey) }}
{{- if .urlKey }}
{{- include "flowscale.secretVariable" (dict "name" "FLOWSCALE_WEBHOOK_URL" "secret" .existingSecret "key" .urlKey) }}
{{- else }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_WEBHOOK_URL" "value" (join "," .urls)) }}
{{- end }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_WEBHOOK_ALLOW_NETWORKS" "value" (join "," .allowNetworks)) }}
{{- end }}
{{- end -}}

{{- define "flowscale.environment.worker" -}}
{{- $worker := .Values.worker -}}
{{- include "flowscale.variable" (dict "name" "WORKER_CONCURRENCY" "value" $worker.concurrency) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_SHUTDOWN_GRACE" "value" (include "flowscale.worker.grace" .)) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_SCRATCH_DIR" "value" "/scratch") }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_FFMPEG_THREADS" "value" $worker.ffmpegThreads) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_RENDER_TIMEOUT" "value" $worker.renderTimeoutSeconds) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_RENDER_MEMORY" "value" $worker.renderMemoryBytes) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_PROBE_TIMEOUT" "value" $worker.probeTimeoutSeconds) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_OUTPUT_BYTES" "value" $worker.maxOutputBytes) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_SOURCE_SECONDS" "value" $worker.maxSourceSeconds) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_PIXELS" "value" $worker.maxPixels) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_FRAMES" "value" $worker.maxFrames) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_DECODED_PIXELS" "value" $worker.maxDecodedPixels) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_MAX_DOWNLOAD_BYTES" "value" $worker.download.maxBytes) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_DOWNLOAD_TIMEOUT" "value" $worker.download.timeoutSeconds) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS" "value" (join "," $worker.download.allowNetworks)) }}
{{- end -}}

{{/* The name of the pod, by which the operator knows whose reports it reads. */}}
{{- define "flowscale.environment.pod" }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}

{{/* The operator obeys the WorkerScaler of its own release, and shares its Lease with its own kind alone. */}}
{{- define "flowscale.environment.operator" }}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_OPERATOR_PORT" "value" .Values.operator.containerPort) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_OPERATOR_SELECTOR" "value" (printf "app.kubernetes.io/instance=%s" .Release.Name)) }}
{{- include "flowscale.variable" (dict "name" "FLOWSCALE_OPERATOR_LEASE" "value" (include "flowscale.componentName" (dict "root" . "component" "operator"))) }}
{{- end -}}

{{/*
The whole environment of a component. A name that stands there twice is refused: which of the two would count differs
between the ways in which Helm 3 and Helm 4 apply objects.
*/}}
{{- define "flowscale.environment" -}}
{{- $text := include "flowscale.environment.shared" .root -}}
{{- if has .component (list "api" "worker") -}}
{{- $text = print $text (include "flowscale.environment.storage" .root) (include "flowscale.environment.tracing" .root) (include (printf "flowscale.environment.%s" .component) .root) -}}
{{- end -}}
{{- if has .component (list "worker" "operator") -}}
{{- $text = print $text (include "flowscale.environment.pod" .root) -}}
{{- end -}}
{{- if eq .component "operator" -}}
{{- $text = print $text (include "flowscale.environment.operator" .root) -}}
{{- end -}}
{{- $all := concat (fromYamlArray $text) (default list .values.extraEnv) -}}
{{- $names := dict -}}
{{- range $all -}}
{{- if hasKey $names .name -}}
{{- fail (printf "\n\n%s.extraEnv sets %s, which the chart sets itself: take it out there and set the value that stands for it (values.yaml)\n" $.component .name) -}}
{{- end -}}
{{- $_ := set $names .name true -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* Mounts and volumes that settings name: the authorities of the queue's server, and the shared folder. */}}
{{- define "flowscale.settings.mounts" -}}
{{- if and (eq .root.Values.redis.mode "external") .root.Values.redis.external.tls.caSecret }}
- name: redis-ca
  mountPath: /etc/flowscale/redis-ca
  readOnly: true
{{- end }}
{{- if and (has .component (list "api" "worker")) (eq (include "flowscale.hasVolume" .root) "true") }}
- name: files
  mountPath: /data
  {{- with .root.Values.storage.persistence.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "flowscale.settings.volumes" -}}
{{- if and (eq .root.Values.redis.mode "external") .root.Values.redis.external.tls.caSecret }}
- name: redis-ca
  secret:
    secretName: {{ .root.Values.redis.external.tls.caSecret | quote }}
    items:
      - key: {{ .root.Values.redis.external.tls.caKey | quote }}
        path: ca.crt
{{- end }}
{{- if and (has .component (list "api" "worker")) (eq (include "flowscale.hasVolume" .root) "true") }}
- name: files
  persistentVolumeClaim:
    claimName: {{ include "flowscale.claimName" .root | quote }}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
