{{/* A quantity of Kubernetes ("2Gi", "1.5G", 1048576) in bytes. */}}
{{- define "flowscale.bytes" -}}
{{- $text := toString . -}}
{{- if kindIs "float64" . -}}{{- $text = . | int64 | toString -}}{{- end -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $factors := dict "" 1 "k" 1000 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if not (hasKey $factors $unit) -}}
{{- fail (printf "%q is no amount of memory that this chart can read: write it as 1600Mi or 2Gi" $text) -}}
{{- end -}}
{{- mulf (float64 $number) (float64 (get $factors $unit)) | int64 -}}
{{- end -}}

{{/* The limit of memory among `resources`, in bytes; nothing where there is none. */}}
{{- define "flowscale.memoryLimit" -}}
{{- $limit := dig "limits" "memory" "" (default dict .) -}}
{{- if $limit -}}{{- include "flowscale.bytes" $limit -}}{{- end -}}
{{- end -}}
