package overlay

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// allowedFields are those of a kustomization that change or add objects and can
// neither fetch nor run anything. kustomize knows more, and will know others.
func allowedFields() []string {
	return []string{
		"apiVersion", "kind", "metadata", "buildMetadata", "sortOptions",
		"resources", "bases", "components", "crds", "configurations", "openapi",
		"namePrefix", "nameSuffix", "namespace", "commonLabels", "labels", "commonAnnotations",
		"patches", "patchesStrategicMerge", "patchesJson6902", "images", "imageTags", "replacements", "replicas", "vars",
		"configMapGenerator", "secretGenerator", "generatorOptions",
	}
}

// allow refuses a kustomization that could fetch or run something, or read what
// does not lie with the overlay. It decides on what kustomize itself makes of the
// file, for it takes a field however its letters are written: and then refuses
// those that are not written as they are known. exists tells whether there is
// something at a path, which begins in the folder of the kustomization; kustomize
// takes for a URL what it does not find.
func allow(data []byte, exists func(place string) bool) error {
	documents, err := yaml.Decode(data)
	if err != nil {
		return err
	}
	for _, k := range documents {
		if err := spelt(k, reflect.TypeFor[types.Kustomization]()); err != nil {
			return err
		}
		for _, field := range slices.Sorted(maps.Keys(k)) {
			switch {
			case slices.Contains(allowedFields(), field):
			case slices.Contains([]string{"generators", "transformers", "validators"}, field):
				return fmt.Errorf("%s are not run: say it with the fields of the kustomization", field)
			case strings.HasPrefix(field, "helm"):
				return fmt.Errorf("%.40q is not run: put what the chart renders into a file", field)
			default:
				return fmt.Errorf("unknown field %.40q", field)
			}
		}
	}
	var k types.Kustomization
	if err := k.Unmarshal(data); err != nil {
		return err
	}
	for _, place := range places(&k) {
		switch {
		case remote(place):
			return fmt.Errorf("%.200q is not on this machine: nothing is fetched", place)
		case !plainPath.MatchString(place):
			return fmt.Errorf("%.200q is no plain path: one has letters, digits, blanks and - _ . / alone, and begins in the folder of its kustomization", place)
		case !exists(place):
			return fmt.Errorf("there is no %.200q in the overlay", place)
		}
	}
	return nil
}

// spelt refuses keys that are known by other letters, in all that a kustomization
// has: encoding/json takes them for the same.
func spelt(value any, as reflect.Type) error {
	for as.Kind() == reflect.Pointer {
		as = as.Elem()
	}
	switch v := value.(type) {
	case []any:
		if as.Kind() != reflect.Slice {
			return nil
		}
		for _, e := range v {
			if err := spelt(e, as.Elem()); err != nil {
				return err
			}
		}
	case map[string]any:
		if as.Kind() != reflect.Struct {
			return nil
		}
		known := map[string]reflect.Type{}
		fieldsOf(as, known)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			field, found := known[key]
			if !found {
				for name := range known {
					if strings.EqualFold(name, key) {
						return fmt.Errorf("the field is written %s, not %.40q", name, key)
					}
				}
				// kustomize refuses what it does not know.
				continue
			}
			if err := spelt(v[key], field); err != nil {
				return err
			}
		}
	}
	return nil
}

// fieldsOf collects a struct's fields by their names in JSON.
func fieldsOf(t reflect.Type, fields map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && (name == "" || strings.Contains(options, "inline")):
			inner := f.Type
			for inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			fieldsOf(inner, fields)
		case name == "":
			fields[f.Name] = f.Type
		case name != "-":
			fields[name] = f.Type
		}
	}
}

// places are all paths in a kustomization.
func places(k *types.Kustomization) []string {
	all := slices.Concat(k.Resources, k.Components, k.Crds, k.Configurations)
	//lint:ignore SA1019 kustomize goes on taking what is deprecated
	all = append(all, k.Bases...) //nolint:staticcheck // as above
	if p, found := k.OpenAPI["path"]; found {
		all = append(all, p)
	}
	//lint:ignore SA1019 as above
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902) { //nolint:staticcheck // as above
		all = append(all, p.Path)
	}
	//lint:ignore SA1019 as above
	for _, p := range k.PatchesStrategicMerge { //nolint:staticcheck // as above
		if !strings.Contains(string(p), "\n") { // else it is the patch itself
			all = append(all, string(p))
		}
	}
	for _, r := range k.Replacements {
		all = append(all, r.Path)
	}
	for _, g := range k.ConfigMapGenerator {
		all = append(all, sources(g.KvPairSources)...)
	}
	for _, g := range k.SecretGenerator {
		all = append(all, sources(g.KvPairSources)...)
	}
	return slices.DeleteFunc(all, func(p string) bool { return p == "" })
}

// sources are the paths of a generator; a file may have a key before it.
func sources(s types.KvPairSources) []string {
	all := append(slices.Clone(s.EnvSources), s.EnvSource)
	for _, f := range s.FileSources {
		if _, file, named := strings.Cut(f, "="); named {
			f = file
		}
		all = append(all, f)
	}
	return all
}

// plainPath begins in a folder, like no option, and has no sign that means something
// to a URL, a shell or git.
var plainPath = regexp.MustCompile(`^[\pL\pN._][\pL\pN._ /-]*$`)
