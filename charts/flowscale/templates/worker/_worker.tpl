{{/* Seconds until a worker that ends is killed. */}}
{{- define "flowscale.worker.grace" -}}
{{- $worker := .Values.worker -}}
{{- default (add (int64 $worker.renderTimeoutSeconds) 60) $worker.terminationGracePeriodSeconds | int64 -}}
{{- end -}}

{{/* Bytes that the memory limit of a worker must hold: an FFmpeg for each render at once, and FlowScale itself. */}}
{{- define "flowscale.worker.memory" -}}
{{- add (mul (int64 .Values.worker.renderMemoryBytes) (int64 .Values.worker.concurrency)) 200000000 -}}
{{- end -}}
