// What a pod needs at the API server to read through exec in another pod.
{
  // rules let it exec in this very pod and no other. kubectl reads the pod
  // first; exec over websockets is a GET for older API servers and a create
  // for newer ones.
  rules(pod):: [
    { apiGroups: [''], resources: ['pods'], resourceNames: [pod], verbs: ['get'] },
    { apiGroups: [''], resources: ['pods/exec'], resourceNames: [pod], verbs: ['create', 'get'] },
  ],
}
