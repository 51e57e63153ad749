{{/* An image of FlowScale's own: the digest wins over the tag, the component's tag over the common one. */}}
{{- define "flowscale.image" -}}
{{- $common := .root.Values.image -}}
{{- $own := .values.image -}}
{{- $name := $own.repository -}}
{{- if $common.registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" $common.registry) $own.repository -}}
{{- end -}}
{{- if $own.digest -}}
{{- printf "%s@%s" $name $own.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (coalesce $own.tag $common.tag .root.Chart.AppVersion | toString) -}}
{{- end -}}
{{- end -}}

{{- define "flowscale.imagePullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
