package renderer_test

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/overlay"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// overlaid renders inputs under an overlay, whose files are given by name and
// content, the folder's kustomization.yaml first.
func overlaid(in renderer.Inputs, kustomization string, more ...string) renderer.Inputs {
	files := fstest.MapFS{"over/lay/kustomization.yaml": {Data: []byte(kustomization)}}
	for i := 0; i < len(more); i += 2 {
		files[path.Join("over/lay", more[i])] = &fstest.MapFile{Data: []byte(more[i+1])}
	}
	in.Overlay = &overlay.Source{Files: files, Dir: "over/lay", Name: "overlay"}
	return in
}

// TestOverlayThatDoesNothing gives the very bytes that are rendered without it.
func TestOverlayThatDoesNothing(t *testing.T) {
	t.Parallel()
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		want := render(t, r, c.Inputs, secrets.SOPS).files
		got := render(t, r, overlaid(c.Inputs, "resources: [holdfast]\n"), secrets.SOPS).files
		if !slices.Equal(names(got), names(want)) {
			t.Fatalf("files %v, expected %v", names(got), names(want))
		}
		for i := range got {
			if !bytes.Equal(got[i].Data, want[i].Data) {
				t.Errorf("%s differs from %s", got[i].Path, firstDifference(got[i].Data, want[i].Data))
			}
		}
	})
}

// everything is an overlay that changes every name, and adds a generated one
// that all pods refer to. The names of some examples are too long for a prefix
// of more than a letter: K8up hangs beyond 33.
const everything = `
resources: [holdfast]
namePrefix: x
labels:
- pairs: {team: storage}
commonAnnotations: {owner: storage}
configMapGenerator:
- name: proxy
  namespace: NAMESPACE
  literals: [HTTPS_PROXY=http://proxy.example.com:3128]
patches:
- target: {kind: PreBackupPod}
  patch: |
    - {op: add, path: /spec/pod/spec/containers/0/envFrom/-, value: {configMapRef: {name: proxy}}}
- target: {kind: PodConfig}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/envFrom, value: [{configMapRef: {name: proxy}}]}
    - {op: add, path: /spec/template/spec/tolerations, value: [{key: backup, operator: Exists}]}
- target: {kind: Schedule}
  patch: |
    - {op: add, path: /spec/backend/envFrom/-, value: {configMapRef: {name: proxy}}}
`

// inTexts are the references that stand in texts and labels, which references
// does not find: locks in the scripts' environment, dump pods by K8up's label.
func inTexts(value any) []reference {
	var found []reference
	if list, ok := value.([]any); ok {
		for _, e := range list {
			found = append(found, inTexts(e)...)
		}
	}
	m, _ := value.(map[string]any)
	for _, field := range slices.Sorted(maps.Keys(m)) {
		text, isText := m[field].(string)
		switch {
		case isText && (field == "HOLDFAST_LOCK" || field == "HOLDFAST_INSTANCE_LOCK"):
			found = append(found, reference{"ConfigMap", text, ""})
		case isText && field == "HOLDFAST_OWN_SECRETS":
			for name := range strings.SplitSeq(text, "\n") {
				found = append(found, reference{"Secret", name, ""})
			}
		case isText && field == "k8up.io/preBackupPod":
			found = append(found, reference{"PreBackupPod", text, ""})
		default:
			found = append(found, inTexts(m[field])...)
		}
	}
	return found
}

// TestOverlayKeepsReferences: after a prefix, and with a generated ConfigMap
// whose name ends in a hash, every reference finds its object; pod-executor,
// which K8up knows by its name, keeps it; and Secrets and the plan have the new
// names.
func TestOverlayKeepsReferences(t *testing.T) {
	t.Parallel()
	tried := 0
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		plain := render(t, r, c.Inputs, secrets.Plain)
		plans := plain.enabled()
		if len(plans) == 0 {
			return
		}
		if len(plans) > 1 || longestName(plain) >= plan.MaxName || len(plans[0].Namespaces) > 1 {
			// The prefix is too long, or the generator's one object is not in all
			// namespaces; TestOverlayBreaksRules has the first.
			return
		}
		tried++
		text := strings.ReplaceAll(everything, "NAMESPACE", plans[0].Namespaces[0])
		checkReferences(t, plain, render(t, r, overlaid(c.Inputs, text), secrets.Plain), "x")
	})
	if tried < 3 {
		t.Errorf("only %d examples were tried", tried)
	}
}

// TestOverlayOverSeveralNamespaces: a server in another namespace that denies by
// default, where a policy names dump pods of the first.
func TestOverlayOverSeveralNamespaces(t *testing.T) {
	t.Parallel()
	c := exampleNamed(t, "minimal")
	state := string(c.Inputs.States[0].Data)
	for _, edit := range []string{
		`/databases/postgresql/0/host = "postgres.shop-db.svc"`,
		`/network/defaultDenyIngress = true`,
		`/volumes/0/namespace = "shop-db"`,
	} {
		state = edited(t, state, edit)
	}
	c.Inputs.States = []input.Document{{Name: "state", Data: []byte(state)}}
	r := builtinRenderer(t)
	before := render(t, r, c.Inputs, secrets.Plain)
	after := render(t, r, overlaid(c.Inputs, "resources: [holdfast]\nnamePrefix: x\n"), secrets.Plain)
	checkReferences(t, before, after, "x")
	admitted := 0
	for _, o := range after.objects {
		if o.Namespace() == "shop-db" && strings.Contains(fmt.Sprint(o.Value), "k8up.io/preBackupPod:xshop-pg-shop") {
			admitted++
		}
	}
	if admitted == 0 {
		t.Error("no policy of the other namespace names the dump pod")
	}
}

// longestName is the length of the longest name of a Schedule.
func longestName(x rendered) int {
	longest := 0
	for _, o := range x.objects {
		if o.Kind() == "Schedule" {
			longest = max(longest, len(o.Name()))
		}
	}
	return longest
}

// checkReferences resolves each reference of a tree whose names got a prefix.
func checkReferences(t *testing.T, before, after rendered, prefix string) {
	t.Helper()
	made, own := map[string]bool{}, map[string]bool{}
	for _, o := range before.objects {
		own[o.ID()] = true
	}
	renamed := 0
	for _, o := range after.objects {
		made[o.ID()] = true
		if strings.HasPrefix(o.Name(), prefix) {
			renamed++
		} else if !slices.Contains([]string{"Kustomization", "ServiceAccount"}, o.Kind()) && !strings.HasSuffix(o.Path, "/flux.yaml") {
			t.Errorf("%s has kept its name", o.ID())
		}
		if text := fmt.Sprint(o.Value); strings.Contains(text, "holdfast.dev/overlay") {
			t.Errorf("%s: kustomize's bookkeeping is left in it", o.ID())
		}
	}
	for _, o := range before.objects {
		if o.Name() == "pod-executor" && !made[o.ID()] {
			t.Errorf("%s, which K8up knows by its name, is gone", o.ID())
		}
	}
	if renamed < len(before.objects)-10 {
		t.Errorf("%d of %d objects are renamed", renamed, len(before.objects))
	}
	count := 0
	for _, o := range after.objects {
		if o.Kind() == "Kustomization" {
			continue
		}
		refs := append(references(o.Value), inTexts(o.Value)...)
		for _, ref := range refs {
			namespace := o.Namespace()
			if ref.kind == "PreBackupPod" && !made["PreBackupPod/"+namespace+"/"+ref.name] {
				// A policy for what a dump pod of another namespace connects to.
				for id := range made {
					if strings.HasPrefix(id, "PreBackupPod/") && strings.HasSuffix(id, "/"+ref.name) {
						namespace = strings.Split(id, "/")[1]
					}
				}
			}
			id := ref.kind + "/" + namespace + "/" + ref.name
			old := ref.kind + "/" + namespace + "/" + strings.TrimPrefix(ref.name, prefix)
			switch {
			case made[id]:
				count++
			case own[id] || own[old] || strings.Contains(ref.name, "proxy"):
				t.Errorf("%s: refers to %s, which has another name now", o.ID(), id)
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d references were followed", count)
	}
	for _, p := range after.enabled() {
		for _, i := range p.Units {
			runs := map[string]string{"restic": "Schedule", "rclone": "CronJob"}[i.Engine]
			for _, id := range []string{runs + "/" + i.Namespace + "/" + i.Name, "ConfigMap/" + i.Namespace + "/" + i.Lock, "Job/" + i.Namespace + "/" + i.Restore} {
				if !made[id] {
					t.Errorf("the plan names %s, which nobody makes", id)
				}
			}
		}
		for _, s := range p.Secrets {
			if !strings.HasPrefix(s.Name, prefix) || !made["Secret/"+s.Namespace+"/"+s.Name] {
				t.Errorf("the plan's Secret %s", s.Name)
			}
		}
	}
}

// TestOverlayMergesIntoOurs: a generator may change what a ConfigMap of ours
// holds. Its name is not a generated one, and stays.
func TestOverlayMergesIntoOurs(t *testing.T) {
	t.Parallel()
	c := exampleNamed(t, "minimal")
	x := render(t, builtinRenderer(t), overlaid(c.Inputs, `
resources: [holdfast]
configMapGenerator:
- {name: shop-pg-scripts, namespace: shop, behavior: merge, files: [dump.sh=mine.sh]}
`, "mine.sh", "#!/bin/sh\nexit 1\n"), secrets.Omit)
	for _, o := range x.objects {
		if o.ID() == "ConfigMap/shop/shop-pg-scripts" {
			if dig(o.Value, "data", "dump.sh") != "#!/bin/sh\nexit 1\n" || dig(o.Value, "data", "restore.sh") == nil {
				t.Errorf("the scripts: %v", dig(o.Value, "data"))
			}
			return
		}
	}
	t.Error("the scripts are gone")
}

// TestOverlaySecretsHaveItsLabels: labels and annotations for all reach Secrets,
// whose values never were in kustomize's hands.
func TestOverlaySecretsHaveItsLabels(t *testing.T) {
	t.Parallel()
	c := exampleNamed(t, "minimal")
	r := builtinRenderer(t)
	x := render(t, r, overlaid(c.Inputs, "resources: [holdfast]\nlabels: [{pairs: {team: storage}}]\ncommonAnnotations: {owner: storage}\n"), secrets.Plain)
	secrets := 0
	for _, o := range x.objects {
		if o.Kind() == "Kustomization" || o.Name() == "pod-executor" {
			continue
		}
		if dig(o.Value, "metadata", "labels", "team") != "storage" || dig(o.Value, "metadata", "annotations", "owner") != "storage" {
			t.Errorf("%s lacks the label or the annotation", o.ID())
		}
		if o.Kind() == "Secret" {
			secrets++
			if data, _ := dig(o.Value, "stringData").(map[string]any); len(data) != 3 {
				t.Errorf("%s has %d values", o.ID(), len(data))
			}
		}
	}
	if secrets != 1 {
		t.Errorf("%d Secrets", secrets)
	}
}

// TestOverlayAdds puts an object of its own into the stage in which others find
// it.
func TestOverlayAdds(t *testing.T) {
	t.Parallel()
	c := exampleNamed(t, "minimal")
	x := render(t, builtinRenderer(t), overlaid(c.Inputs, "resources: [holdfast, mine.yaml, ../base]\n", "mine.yaml",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: mine, namespace: shop}, data: {a: b}}\n", "../base/kustomization.yaml",
		"resources: [policy.yaml]\n", "../base/policy.yaml",
		"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: mine, namespace: shop}, "+
			"spec: {podSelector: {matchLabels: {k8upjob: 'true'}}, policyTypes: [Egress]}}\n"), secrets.Omit)
	at := map[string]string{}
	for _, o := range x.objects {
		if o.Name() == "mine" {
			at[o.Kind()] = o.Path
		}
	}
	want := map[string]string{"ConfigMap": "shop/repository/overlay.yaml", "NetworkPolicy": "shop/backup/overlay.yaml"}
	if !maps.Equal(at, want) {
		t.Errorf("added at %v, want %v", at, want)
	}
	for _, f := range x.files {
		if f.Path == "shop/repository/kustomization.yaml" && !strings.Contains(string(f.Data), "overlay.yaml") {
			t.Errorf("it is not listed:\n%s", f.Data)
		}
	}
}

func exampleNamed(t *testing.T, name string) examples.Case {
	t.Helper()
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no example %s", name)
	return examples.Case{}
}
