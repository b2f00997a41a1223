package oracle

import (
	"encoding/json"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Flux, Cilium and kustomize have no schema here: their modules would bring in
// their whole programs. So the types below are written by hand, from their
// documentation, and hold just the fields that we render. A field that is not
// here fails the test, and whoever adds one looks it up first. What these tests
// cannot see is a field that this file itself has wrong.

// fluxKustomization is kustomize.toolkit.fluxcd.io/v1.
type fluxKustomization struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Interval  metav1.Duration `json:"interval"`
		Path      string          `json:"path"`
		Prune     bool            `json:"prune"`
		Wait      bool            `json:"wait"`
		Timeout   metav1.Duration `json:"timeout"`
		SourceRef struct {
			Kind      string `json:"kind"`
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"sourceRef"`
		DependsOn []struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"dependsOn"`
		ServiceAccountName string `json:"serviceAccountName"`
		Decryption         struct {
			Provider  string `json:"provider"`
			SecretRef struct {
				Name string `json:"name"`
			} `json:"secretRef"`
		} `json:"decryption"`
	} `json:"spec"`
}

// ciliumNetworkPolicy is cilium.io/v2.
type ciliumNetworkPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		EndpointSelector metav1.LabelSelector `json:"endpointSelector"`
		Egress           []struct {
			ToEntities  []string               `json:"toEntities"`
			ToEndpoints []metav1.LabelSelector `json:"toEndpoints"`
			ToFQDNs     []struct {
				MatchName    string `json:"matchName"`
				MatchPattern string `json:"matchPattern"`
			} `json:"toFQDNs"`
			ToPorts []struct {
				Ports []struct {
					Port     string `json:"port"`
					Protocol string `json:"protocol"`
				} `json:"ports"`
				Rules *struct {
					DNS []struct {
						MatchPattern string `json:"matchPattern"`
					} `json:"dns"`
				} `json:"rules"`
			} `json:"toPorts"`
		} `json:"egress"`
	} `json:"spec"`
}

func TestFluxKustomizations(t *testing.T) {
	eachTree(t, func(t *testing.T, x *tree) {
		found := map[string]fluxKustomization{}
		for _, d := range x.of("kustomize.toolkit.fluxcd.io/", "") {
			var k fluxKustomization
			if err := yaml.UnmarshalStrict(d.text, &k); err != nil {
				t.Errorf("%s: %v", d.id, err)
				continue
			}
			found[k.Namespace+"/"+k.Name] = k
			if k.Kind != "Kustomization" || k.APIVersion != "kustomize.toolkit.fluxcd.io/v1" {
				t.Errorf("%s: is a %s %s", d.id, k.APIVersion, k.Kind)
			}
			if k.Spec.Interval.Duration <= 0 || k.Spec.Timeout.Duration <= 0 {
				t.Errorf("%s: interval %v, timeout %v", d.id, k.Spec.Interval, k.Spec.Timeout)
			}
			if !k.Spec.Prune || !k.Spec.Wait {
				t.Errorf("%s: prune %v, wait %v", d.id, k.Spec.Prune, k.Spec.Wait)
			}
			if !slices.Contains([]string{"GitRepository", "OCIRepository", "Bucket"}, k.Spec.SourceRef.Kind) || k.Spec.SourceRef.Name == "" {
				t.Errorf("%s: sourceRef %+v", d.id, k.Spec.SourceRef)
			}
			if k.Spec.Decryption.Provider != "sops" || k.Spec.Decryption.SecretRef.Name == "" {
				t.Errorf("%s: decryption %+v", d.id, k.Spec.Decryption)
			}
		}
		for _, p := range x.plans {
			if !p.Enabled {
				continue
			}
			// What runs waits for the repositories, and they for K8up.
			backup, has := found[p.Flux.Namespace+"/"+p.Instance+"-backup"]
			if !has {
				t.Errorf("%s: no Kustomization for backup/", p.Instance)
			}
			repository, has := found[p.Flux.Namespace+"/"+p.Instance+"-repository"]
			if !has {
				t.Errorf("%s: no Kustomization for repository/", p.Instance)
			}
			if len(backup.Spec.DependsOn) != 1 || backup.Spec.DependsOn[0].Name != p.Instance+"-repository" {
				t.Errorf("%s: backup/ depends on %v", p.Instance, backup.Spec.DependsOn)
			}
			if len(repository.Spec.DependsOn) == 0 {
				t.Errorf("%s: repository/ depends on nothing, but K8up's definitions come first", p.Instance)
			}
			for stage, k := range map[string]fluxKustomization{"backup": backup, "repository": repository} {
				if path.Base(k.Spec.Path) != stage {
					t.Errorf("%s: the path of %s/ is %s", p.Instance, stage, k.Spec.Path)
				}
			}
		}
	})
}

// TestFluxSubstitutesNothing finds texts that Flux' substitution would change.
func TestFluxSubstitutesNothing(t *testing.T) {
	eachTree(t, func(t *testing.T, x *tree) {
		for _, d := range x.documents {
			if !strings.Contains(string(d.text), "$") || strings.HasSuffix(d.path, "/flux.yaml") {
				continue
			}
			metadata, _ := d.value["metadata"].(map[string]any)
			annotations, _ := metadata["annotations"].(map[string]any)
			if annotations["kustomize.toolkit.fluxcd.io/substitute"] != "disabled" {
				t.Errorf("%s: has a $, and substitution is not disabled", d.id)
			}
		}
	})
}

func TestKustomizeListsEveryFile(t *testing.T) {
	eachTree(t, func(t *testing.T, x *tree) {
		listed := map[string]bool{}
		for _, d := range x.of("kustomize.config.k8s.io/", "") {
			var k struct {
				metav1.TypeMeta `json:",inline"`
				Resources       []string `json:"resources"`
			}
			if err := yaml.UnmarshalStrict(d.text, &k); err != nil {
				t.Errorf("%s: %v", d.id, err)
			}
			for _, file := range k.Resources {
				listed[path.Join(path.Dir(d.path), file)] = true
			}
		}
		files := map[string]bool{}
		for _, d := range x.documents {
			files[d.path] = true
			parts := strings.Split(d.path, "/")
			// restore/ is applied by hand, flux.yaml by whoever owns the cluster.
			applied := len(parts) > 2 && parts[1] != "restore" && path.Base(d.path) != "kustomization.yaml"
			if applied != listed[d.path] {
				t.Errorf("%s: listed %v, expected %v", d.path, listed[d.path], applied)
			}
		}
		for file := range listed {
			if !files[file] {
				t.Errorf("%s: listed, but not there", file)
			}
		}
	})
}

func TestCiliumPolicies(t *testing.T) {
	seen := 0
	eachTree(t, func(t *testing.T, x *tree) {
		all := pods(t, x)
		for _, d := range x.of("cilium.io/", "") {
			seen++
			var policy ciliumNetworkPolicy
			if err := yaml.UnmarshalStrict(d.text, &policy); err != nil {
				t.Errorf("%s: %v", d.id, err)
				continue
			}
			selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.EndpointSelector)
			if err != nil || selector.Empty() {
				t.Errorf("%s: selector %v: %v", d.id, selector, err)
				continue
			}
			if !slices.ContainsFunc(all, func(p caused) bool {
				return p.namespace == d.namespace && selector.Matches(labels.Set(p.template.Labels))
			}) {
				t.Errorf("%s: selects no pod", d.id)
			}
			names, dns := false, false
			for _, rule := range policy.Spec.Egress {
				// Cilium takes one way of naming the target in each rule.
				targets := 0
				for _, n := range []int{len(rule.ToEntities), len(rule.ToEndpoints), len(rule.ToFQDNs)} {
					targets += min(n, 1)
				}
				if targets != 1 || len(rule.ToPorts) == 0 {
					t.Errorf("%s: a rule with %d kinds of targets and %d lists of ports", d.id, targets, len(rule.ToPorts))
				}
				for _, entity := range rule.ToEntities {
					if entity != "kube-apiserver" {
						t.Errorf("%s: entity %q", d.id, entity)
					}
				}
				for _, host := range rule.ToFQDNs {
					names = true
					_, err := netip.ParseAddr(host.MatchName)
					if host.MatchPattern != "" || len(validation.IsDNS1123Subdomain(host.MatchName)) > 0 || err == nil {
						t.Errorf("%s: host %+v", d.id, host)
					}
				}
				for _, ports := range rule.ToPorts {
					dns = dns || ports.Rules != nil && len(ports.Rules.DNS) > 0 && len(rule.ToEndpoints) > 0
					for _, port := range ports.Ports {
						// A text, not a number.
						if n, err := strconv.Atoi(port.Port); err != nil || n < 1 || n > 65535 || !slices.Contains([]string{"TCP", "UDP", "ANY"}, port.Protocol) {
							t.Errorf("%s: port %+v", d.id, port)
						}
					}
				}
			}
			// Cilium learns a name's addresses from the answers that it sees.
			if names && !dns {
				t.Errorf("%s: names hosts, but sees no answers of the DNS", d.id)
			}
		}
		for _, p := range x.plans {
			if p.Enabled && (p.Network.Engine == "cilium") != (len(x.of("cilium.io/", "")) > 0) {
				t.Errorf("policy engine %s, %d policies of Cilium", p.Network.Engine, len(x.of("cilium.io/", "")))
			}
		}
	})
	if seen == 0 {
		t.Error("no policy of Cilium in any tree")
	}
}

// TestHandWrittenTypesSee proves that an unknown field fails.
func TestHandWrittenTypesSee(t *testing.T) {
	for name, into := range map[string]any{"Flux": &fluxKustomization{}, "Cilium": &ciliumNetworkPolicy{}} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(map[string]any{"spec": map[string]any{"egres": []any{}}})
			if err != nil {
				t.Fatal(err)
			}
			if yaml.UnmarshalStrict(text, into) == nil {
				t.Error("an unknown field passes")
			}
		})
	}
}
