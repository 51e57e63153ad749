{{/* Rules of egress, for the NetworkPolicies beside. */}}

{{/* Names are looked up wherever the cluster keeps its servers: as pods, or on each node. */}}
{{- define "flowscale.egress.names" }}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* "true" for a host that is a Service of the cluster. Policies see the port of its pods, which may be another. */}}
{{- define "flowscale.isService" -}}
{{- or (not (contains "." .)) (hasSuffix ".svc" .) (contains ".svc." .) -}}
{{- end -}}

{{- define "flowscale.egress.queue" }}
{{- $external := .Values.redis.external }}
{{- if eq .Values.redis.mode "bundled" }}
- to:
    - podSelector:
        matchLabels:
          {{- include "flowscale.selectorLabels" (dict "root" . "component" "redis") | nindent 10 }}
  ports:
    - {port: 6379, protocol: TCP}
{{- else if not $external.host }}
# An address in a Secret, or what sentinels answer, is not known here.
- to:
    - ipBlock: {cidr: 0.0.0.0/0}
    - ipBlock: {cidr: "::/0"}
    - namespaceSelector: {}
{{- else }}
- ports:
    - {port: {{ $external.port }}, protocol: TCP}
{{- if eq (include "flowscale.isService" $external.host) "true" }}
- to:
    - namespaceSelector: {}
{{- end }}
{{- end }}
{{- end -}}

{{- define "flowscale.egress.storage" }}
{{- if eq (include "flowscale.hasVolume" .) "false" }}
{{- $bucket := get .Values.storage .Values.storage.type }}
{{- $address := coalesce (get $bucket "endpointUrl") (get $bucket "url") "https://bucket.example" }}
{{- $place := urlParse $address }}
{{- $port := default (ternary 80 443 (eq $place.scheme "http")) (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $place.host) | int) }}
- ports:
    - {port: {{ $port }}, protocol: TCP}
{{- if eq (include "flowscale.isService" (regexReplaceAll ":[0-9]+$" $place.host "")) "true" }}
- to:
    - namespaceSelector: {}
{{- end }}
{{- if not $bucket.existingSecret }}
# Workload identity is asked of the node.
- to:
    - ipBlock: {cidr: 169.254.0.0/16}
  ports:
    - {port: 80, protocol: TCP}
    - {port: 988, protocol: TCP}
{{- end }}
{{- end }}
{{- end -}}

{{- define "flowscale.egress.traces" }}
{{- with .Values.tracing.endpoint }}
{{- $place := urlParse . }}
{{- $port := default (ternary 80 443 (eq $place.scheme "http")) (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $place.host) | int) }}
- ports:
    - {port: {{ $port }}, protocol: TCP}
{{- if eq (include "flowscale.isService" (regexReplaceAll ":[0-9]+$" $place.host "")) "true" }}
- to:
    - namespaceSelector: {}
{{- end }}
{{- end }}
{{- end -}}

{{/* Hosts that clients name: the internet, less what only the inside may reach, and the networks `allowed`. */}}
{{- define "flowscale.egress.hosts" }}
{{- $four := list }}
{{- $six := list "fc00::/7" "fe80::/10" }}
{{- range .root.Values.networkPolicy.downloadExcept }}
{{- if contains ":" . }}{{ $six = append $six . }}{{ else }}{{ $four = append $four . }}{{ end }}
{{- end }}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        {{- with $four }}
        except:
          {{- range . }}
          - {{ . | quote }}
          {{- end }}
        {{- end }}
    - ipBlock:
        cidr: "::/0"
        except:
          {{- range uniq $six }}
          - {{ . | quote }}
          {{- end }}
    {{- range .allowed }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
{{- end -}}

{{- define "flowscale.policy.head" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "flowscale.componentName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "flowscale.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "flowscale.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end -}}
