# Filters of objects of Kubernetes, for those that dump and restore them.

# own: what of an object is its own, without what an API server adds.
def own:
  del(.metadata.uid, .metadata.resourceVersion, .metadata.creationTimestamp, .metadata.managedFields, .metadata.generation,
      .metadata.selfLink, .metadata.ownerReferences, .metadata.finalizers, .metadata.deletionTimestamp,
      .metadata.deletionGracePeriodSeconds);

# controlled: another object makes it again.
def controlled: any(.metadata.ownerReferences[]?; .controller == true);

# automatic: Kubernetes, K8up or Holdfast make it in every namespace.
def automatic:
  (.metadata.labels["app.kubernetes.io/managed-by"]? == "holdfast")
  or (.metadata.labels["k8up.io/preBackupPod"]? != null)
  or (.kind == "RoleBinding" and .roleRef.name == "k8up-executor")
  or (.kind == "ConfigMap" and (.metadata.name | IN("kube-root-ca.crt", "istio-ca-root-cert", "openshift-service-ca.crt")))
  or (.kind == "ServiceAccount" and (.metadata.name | IN("default", "pod-executor")));

# lines: a list that stands in a variable, one a line, without blank ones.
def lines: split("\n") | map(select(test("[^[:space:]]")));
