{{/* Most memory of the bundled server's data in bytes: 70 % of its limit leaves room for rewriting its file. */}}
{{- define "flowscale.redis.maxmemory" -}}
{{- $bundled := .Values.redis.bundled -}}
{{- if $bundled.maxmemory -}}
{{- $bundled.maxmemory -}}
{{- else -}}
{{- $limit := include "flowscale.memoryLimit" $bundled.resources -}}
{{- if $limit -}}{{- div (mul (int64 $limit) 70) 100 -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flowscale.redis.config" -}}
# Jobs outlive a restart, and are never thrown away for room: when it is full, new ones are refused.
dir /data
port 6379
protected-mode no
save ""
appendonly yes
appendfsync {{ .Values.redis.bundled.appendfsync }}
maxmemory {{ include "flowscale.redis.maxmemory" . }}
maxmemory-policy noeviction
{{- with .Values.redis.bundled.extraConfig }}
{{ . }}
{{- end }}
{{- end -}}

{{/* The command that succeeds when the server takes commands of FlowScale's user. */}}
{{- define "flowscale.redis.ready" -}}
- sh
- -c
- '[ "$(REDISCLI_AUTH="$FLOWSCALE_PASSWORD" valkey-cli --user flowscale --no-auth-warning -t 5 ping)" = PONG ]'
{{- end -}}

{{/* An amount as Valkey writes it in bytes: k is 1000, kb is 1024. */}}
{{- define "flowscale.redis.bytes" -}}
{{- $number := regexFind "^[0-9]+" . -}}
{{- $factors := dict "" 1 "k" 1000 "kb" 1024 "m" 1000000 "mb" 1048576 "g" 1000000000 "gb" 1073741824 -}}
{{- mul (int64 $number) (get $factors (trimPrefix $number .)) -}}
{{- end -}}
