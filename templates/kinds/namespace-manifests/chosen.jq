# What of a dump is restored, in which order, and as what: see unpack_list of objects.sh.
include "objects";

def chosen:
  (env.HOLDFAST_ONLY // "" | lines) as $only
  | def working:
      (.kind | IN("Pod", "ReplicaSet", "Endpoints", "EndpointSlice", "Event", "Lease", "ControllerRevision", "Job"))
      or (.apiVersion | startswith("k8up.io/")) and (.kind | IN("Backup", "Check", "Prune", "Restore", "Archive", "Snapshot"));
    def rank($kind):
      (["ResourceQuota", "LimitRange", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "NetworkPolicy",
        "PersistentVolumeClaim", "Service", "SecretStore", "Issuer", "ExternalSecret", "Certificate"]
       | index([$kind])) as $first
      | (["PodDisruptionBudget", "DaemonSet", "StatefulSet", "Deployment", "HorizontalPodAutoscaler", "CronJob",
          "Job", "Ingress", "HTTPRoute"] | index([$kind])) as $last
      | if $first != null then $first elif $last != null then 200 + $last else 100 end;
    def clean:
      own
      | del(.status, .metadata.annotations["deployment.kubernetes.io/revision"])
      | .metadata.namespace = env.HOLDFAST_NAMESPACE
      | if .kind == "Service" and .spec.clusterIP? != "None" then del(.spec.clusterIP, .spec.clusterIPs) else . end
      | if .kind == "Service" then del(.spec.healthCheckNodePort) | (.spec.ports[]? |= del(.nodePort)) else . end
      | if .kind == "PersistentVolumeClaim" then
          del(.spec.volumeName)
          | .metadata.annotations |= ((. // {}) | with_entries(select(.key
              | test("^(pv\\.kubernetes\\.io|volume\\.kubernetes\\.io|volume\\.beta\\.kubernetes\\.io)/") | not)))
        else . end
      | if .kind == "Job" then
          del(.spec.selector, .spec.template.metadata.labels["controller-uid"],
              .spec.template.metadata.labels["batch.kubernetes.io/controller-uid"],
              .metadata.labels["controller-uid"], .metadata.labels["batch.kubernetes.io/controller-uid"])
        else . end
      | if .metadata.annotations == {} or .metadata.annotations == null then del(.metadata.annotations) else . end;
  "\(.kind)/\(.metadata.name)" as $id
  | if ($only | length) > 0 then select($only | index([$id]) != null) else select((controlled or automatic) | not) end
  # Said at the end: they are in the copy, and do not come back by themselves.
  | if ($only | length) == 0 and working then [-1, $id, {}] else [rank(.kind), $id, clean] end;
