package oracle

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	kubejson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// scheme knows the groups of Kubernetes' own that we render.
func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, batchv1.AddToScheme, rbacv1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// strict decodes into Kubernetes' own types and refuses unknown fields and
// fields that stand twice, as the API server does with fieldValidation=Strict.
func strict(s *runtime.Scheme, text []byte) (runtime.Object, error) {
	serializer := kubejson.NewSerializerWithOptions(kubejson.DefaultMetaFactory, s, s, kubejson.SerializerOptions{Strict: true})
	object, _, err := serializer.Decode(text, nil, nil)
	return object, err
}

// coreVersions are the API versions of Kubernetes' own objects.
var coreVersions = []string{"v1", "batch/v1", "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"}

func TestCoreObjectsDecodeStrictly(t *testing.T) {
	s := scheme(t)
	eachTree(t, func(t *testing.T, x *tree) {
		seen := 0
		for _, d := range x.documents {
			if !slices.Contains(coreVersions, d.apiVersion) {
				continue
			}
			seen++
			object, err := strict(s, d.text)
			if err != nil {
				t.Errorf("%s: %v", d.id, err)
				continue
			}
			text, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			var back map[string]any
			if err := utiljson.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			for _, lost := range missing("", d.value, back) {
				t.Errorf("%s: %s", d.id, lost)
			}
			again, err := strict(s, text)
			if err != nil || !equality.Semantic.DeepEqual(object, again) {
				t.Errorf("%s: is another object when read again (%v)", d.id, err)
			}
			for _, wrong := range judge(object) {
				t.Errorf("%s: %s", d.id, wrong)
			}
		}
		if x.plans[0].Enabled && seen == 0 {
			t.Error("no object")
		}
	})
}

// missing lists what the typed object lost or changed. An empty value may
// vanish, and an amount may be written in another way.
func missing(place string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok && len(w) > 0 {
			return []string{place + ": is lost"}
		}
		var found []string
		for name := range w {
			found = append(found, missing(place+"."+name, w[name], g[name])...)
		}
		slices.Sort(found)
		return found
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			return []string{place + ": items are lost"}
		}
		var found []string
		for i := range w {
			found = append(found, missing(fmt.Sprintf("%s[%d]", place, i), w[i], g[i])...)
		}
		return found
	case string:
		g, _ := got.(string)
		if w == g {
			return nil
		}
		a, errA := resource.ParseQuantity(w)
		b, errB := resource.ParseQuantity(g)
		if errA == nil && errB == nil && a.Cmp(b) == 0 {
			return nil
		}
		return []string{fmt.Sprintf("%s: %q became %q", place, w, g)}
	case bool:
		if got == want || !w && got == nil {
			return nil
		}
	case nil:
		return []string{place + ": is null"}
	default:
		if reflect.DeepEqual(want, got) || reflect.ValueOf(want).IsZero() && got == nil {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: %v became %v", place, want, got)}
}

// judge checks what the API server demands of the values of the fields that we
// use: its own validation is no library.
func judge(object runtime.Object) []string {
	j := &judgement{}
	switch o := object.(type) {
	case *batchv1.Job:
		j.name(o.Name, validation.DNS1123LabelMaxLength)
		j.job(o.Spec)
	case *batchv1.CronJob:
		// The controller appends eleven characters.
		j.name(o.Name, 52)
		j.one("concurrencyPolicy", o.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)
		j.say(strings.Contains(o.Spec.Schedule, "TZ"), "schedule names a time zone")
		j.say(o.Spec.StartingDeadlineSeconds != nil && *o.Spec.StartingDeadlineSeconds < 10, "startingDeadlineSeconds below the controller's period of 10 s never starts")
		j.job(o.Spec.JobTemplate.Spec)
	case *networkingv1.NetworkPolicy:
		j.policy(o.Spec)
	case *rbacv1.Role:
		j.rules(o.Rules)
	case *rbacv1.ClusterRole:
		j.rules(o.Rules)
	case *rbacv1.RoleBinding:
		j.binding(o.RoleRef, o.Subjects)
	case *rbacv1.ClusterRoleBinding:
		j.binding(o.RoleRef, o.Subjects)
	case *corev1.ConfigMap:
		j.keys(o.Data)
	case *corev1.Secret:
		j.one("type", o.Type, corev1.SecretTypeOpaque)
		j.keys(o.StringData)
	case *corev1.ServiceAccount:
	default:
		j.say(true, "no rule for a %T", object)
	}
	return j.found
}

type judgement struct{ found []string }

func (j *judgement) say(bad bool, format string, args ...any) {
	if bad {
		j.found = append(j.found, fmt.Sprintf(format, args...))
	}
}

// one demands one of the allowed values.
func (j *judgement) one(what string, value any, allowed ...any) {
	j.say(!slices.Contains(allowed, value), "%s is %q, expected one of %q", what, value, allowed)
}

func (j *judgement) name(name string, longest int) {
	j.say(len(name) > longest, "name %s is longer than %d", name, longest)
}

func (j *judgement) keys(data map[string]string) {
	size := 0
	for key, value := range data {
		j.say(len(validation.IsConfigMapKey(key)) > 0, "key %q", key)
		size += len(value)
	}
	j.say(size > corev1.MaxSecretSize, "%d bytes are more than etcd takes", size)
}

func (j *judgement) job(spec batchv1.JobSpec) {
	pod := spec.Template.Spec
	j.one("restartPolicy", pod.RestartPolicy, corev1.RestartPolicyNever, corev1.RestartPolicyOnFailure)
	j.say(spec.ActiveDeadlineSeconds != nil && *spec.ActiveDeadlineSeconds < 1, "activeDeadlineSeconds")
	if spec.PodFailurePolicy != nil {
		j.say(pod.RestartPolicy != corev1.RestartPolicyNever, "podFailurePolicy needs restartPolicy Never")
		for _, rule := range spec.PodFailurePolicy.Rules {
			j.one("podFailurePolicy action", rule.Action, batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore, batchv1.PodFailurePolicyActionCount)
			if codes := rule.OnExitCodes; codes != nil {
				j.one("operator", codes.Operator, batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn)
				j.say(len(codes.Values) == 0 || !slices.IsSorted(codes.Values) || codes.Operator == "In" && slices.Contains(codes.Values, 0), "exit codes %v", codes.Values)
				j.say(codes.ContainerName != nil && !slices.ContainsFunc(slices.Concat(pod.InitContainers, pod.Containers), func(c corev1.Container) bool {
					return c.Name == *codes.ContainerName
				}), "podFailurePolicy names a container that is not there")
			}
		}
	}
	j.pod(pod)
}

// pod checks a whole pod.
func (j *judgement) pod(pod corev1.PodSpec) {
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		j.say(volumes[v.Name], "volume %s stands twice", v.Name)
		j.say(len(validation.IsDNS1123Label(v.Name)) > 0, "volume name %q", v.Name)
		volumes[v.Name] = true
		sources := 0
		for i := range reflect.ValueOf(v.VolumeSource).NumField() {
			if !reflect.ValueOf(v.VolumeSource).Field(i).IsNil() {
				sources++
			}
		}
		j.say(sources != 1, "volume %s has %d sources", v.Name, sources)
		for _, mode := range modes(v.VolumeSource) {
			j.say(mode < 0 || mode > 0o777, "volume %s has the mode %o", v.Name, mode)
		}
	}
	j.say(len(pod.Containers) == 0, "no container")
	names := map[string]bool{}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		j.say(names[c.Name] || len(validation.IsDNS1123Label(c.Name)) > 0, "container name %q", c.Name)
		names[c.Name] = true
		j.say(c.Image == "" || strings.TrimSpace(c.Image) != c.Image, "container %s has the image %q", c.Name, c.Image)
		j.one("imagePullPolicy", c.ImagePullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever, corev1.PullPolicy(""))
		mounts, env := map[string]bool{}, map[string]bool{}
		for _, m := range c.VolumeMounts {
			j.say(!volumes[m.Name], "container %s mounts %s, which is no volume", c.Name, m.Name)
			j.say(mounts[m.MountPath] || !path.IsAbs(m.MountPath), "container %s mounts at %q, twice or not absolute", c.Name, m.MountPath)
			mounts[m.MountPath] = true
		}
		for _, e := range c.Env {
			j.say(len(validation.IsEnvVarName(e.Name)) > 0 || env[e.Name], "container %s has the variable %q, twice or of a wrong form", c.Name, e.Name)
			env[e.Name] = true
			j.say(e.Value != "" && e.ValueFrom != nil, "variable %s has a value and a source", e.Name)
		}
		for name, limit := range c.Resources.Limits {
			request, set := c.Resources.Requests[name]
			j.say(set && request.Cmp(limit) > 0, "container %s requests more %s than its limit", c.Name, name)
		}
		for _, p := range c.Ports {
			j.one("protocol", p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
		}
	}
	j.say(pod.TerminationGracePeriodSeconds != nil && *pod.TerminationGracePeriodSeconds < 0, "terminationGracePeriodSeconds")
}

// modes are the file modes of a volume.
func modes(v corev1.VolumeSource) []int32 {
	var all []int32
	add := func(mode *int32) {
		if mode != nil {
			all = append(all, *mode)
		}
	}
	if v.ConfigMap != nil {
		add(v.ConfigMap.DefaultMode)
	}
	if v.Secret != nil {
		add(v.Secret.DefaultMode)
	}
	if v.Projected != nil {
		add(v.Projected.DefaultMode)
	}
	return all
}

func (j *judgement) policy(spec networkingv1.NetworkPolicySpec) {
	for _, kind := range spec.PolicyTypes {
		j.one("policyTypes", kind, networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)
	}
	// Without policyTypes an empty list of egress rules allows everything.
	j.say(len(spec.PolicyTypes) == 0, "no policyTypes")
	peers := func(list []networkingv1.NetworkPolicyPeer) {
		for _, peer := range list {
			j.say((peer.IPBlock != nil) == (peer.PodSelector != nil || peer.NamespaceSelector != nil), "a peer is an address range or a selection, and one of them")
		}
	}
	ports := func(list []networkingv1.NetworkPolicyPort) {
		for _, p := range list {
			j.say(p.Protocol == nil, "a port without a protocol")
			if p.Protocol != nil {
				j.one("protocol", *p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
			}
			j.say(p.Port == nil || p.Port.IntValue() < 1 || p.Port.IntValue() > 65535, "port %v", p.Port)
		}
	}
	for _, rule := range spec.Ingress {
		peers(rule.From)
		ports(rule.Ports)
	}
	for _, rule := range spec.Egress {
		peers(rule.To)
		ports(rule.Ports)
	}
}

func (j *judgement) rules(rules []rbacv1.PolicyRule) {
	verbs := []any{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	for _, rule := range rules {
		// Flux' account binds the tree's own roles.
		if slices.Equal(rule.Verbs, []string{"bind"}) && len(rule.ResourceNames) > 0 {
			continue
		}
		j.say(len(rule.Verbs) == 0 || len(rule.Resources) == 0 || len(rule.APIGroups) == 0, "a rule without verbs, resources or apiGroups")
		for _, verb := range rule.Verbs {
			j.one("verb", verb, verbs...)
		}
		// An object that is posted has no name yet for RBAC; one that is made by
		// server-side apply, which is a patch, has, and a subresource's has.
		whole := slices.ContainsFunc(rule.Resources, func(resource string) bool { return !strings.Contains(resource, "/") })
		applied := slices.Contains(rule.Verbs, "patch")
		j.say(whole && !applied && len(rule.ResourceNames) > 0 && slices.Contains(rule.Verbs, "create"), "create on a name is never allowed by RBAC")
	}
}

func (j *judgement) binding(ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
	j.one("roleRef.apiGroup", ref.APIGroup, rbacv1.GroupName)
	j.one("roleRef.kind", ref.Kind, "Role", "ClusterRole")
	j.say(ref.Name == "", "roleRef without name")
	j.say(len(subjects) == 0, "no subject")
	for _, s := range subjects {
		j.one("subject kind", s.Kind, rbacv1.ServiceAccountKind)
		j.say(s.APIGroup != "" || s.Namespace == "" || s.Name == "", "a ServiceAccount has a namespace, a name and no apiGroup")
	}
}

// TestCoreOracleSees proves that the oracle is not blind.
func TestCoreOracleSees(t *testing.T) {
	const pod = `restartPolicy: Never, containers: [{name: a, image: b}]`
	tests := []struct{ name, object, want string }{
		{name: "good job", object: `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {` + pod + `}}}}`},
		{name: "typo", object: `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {backofLimit: 1, template: {spec: {` + pod + `}}}}`, want: `unknown field "spec.backofLimit"`},
		{name: "wrong case", object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, Data: {a: b}}`, want: `unknown field "Data"`},
		{name: "key twice", object: `{"apiVersion": "v1", "kind": "ConfigMap", "data": {}, "data": {}}`, want: `duplicate field "data"`},
		{name: "wrong type", object: `{apiVersion: v1, kind: ConfigMap, data: {a: 1}}`, want: "data"},
		{name: "enum", object: `{apiVersion: batch/v1, kind: CronJob, spec: {schedule: "1 2 * * *", concurrencyPolicy: Forbit, jobTemplate: {spec: {template: {spec: {` + pod + `}}}}}}`, want: `"Forbit"`},
		{name: "restartPolicy", object: `{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {restartPolicy: Always, containers: [{name: a, image: b}]}}}}`, want: `restartPolicy is "Always"`},
		{name: "no image", object: `{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {restartPolicy: Never, containers: [{name: a}]}}}}`, want: `the image ""`},
		{name: "protocol", object: `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, spec: {policyTypes: [Egress], egress: [{ports: [{port: 1, protocol: tcp}]}]}}`, want: `"tcp"`},
		{name: "peer of two kinds", object: `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, spec: {policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}, podSelector: {}}]}]}}`, want: "a peer is"},
		{name: "verb", object: `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, rules: [{apiGroups: [""], resources: [pods], verbs: [read]}]}`, want: `"read"`},
		{name: "create by name", object: `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, rules: [{apiGroups: [""], resources: [pods], resourceNames: [a], verbs: [create]}]}`, want: "create on a name"},
		{name: "apply by name", object: `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, rules: [{apiGroups: [""], resources: [configmaps], resourceNames: [a], verbs: [get, create, patch]}]}`},
		{name: "exec by name", object: `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, rules: [{apiGroups: [""], resources: [pods/exec], resourceNames: [a], verbs: [create]}]}`},
		{name: "two volume sources", object: `{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {volumes: [{name: a, emptyDir: {}, configMap: {name: b}}], ` + pod + `}}}}`, want: "2 sources"},
		{name: "unknown kind", object: `{apiVersion: batch/v1, kind: Jobs}`, want: "no kind"},
	}
	s := scheme(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := []byte(tt.object)
			if !json.Valid(text) {
				var err error
				if text, err = yaml.YAMLToJSON(text); err != nil {
					t.Fatal(err)
				}
			}
			object, err := strict(s, text)
			got := fmt.Sprint(err)
			if err == nil {
				got = strings.Join(judge(object), "\n")
			}
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("found %q, expected %q", got, tt.want)
			}
		})
	}
}
