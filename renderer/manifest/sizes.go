package manifest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// What is larger is refused, by the API server or by the kernel of the pod's node, in
// bytes.
const (
	// mostRequest is what etcd takes at once: --max-request-bytes in etcd's documentation,
	// "System limits".
	mostRequest = 3 << 19
	// mostData is what a ConfigMap or a Secret may hold: MaxSecretSize in Kubernetes'
	// pkg/apis/core/types.go.
	mostData = 1 << 20
	// mostString is one argument or one variable with its name, "=" and the byte that ends
	// it: MAX_ARG_STRLEN in Linux' include/uapi/linux/binfmts.h, 32 pages.
	mostString = 32 << 12
	// mostStrings is all of them together, each with its pointer: a quarter of the stack,
	// which has 8 MiB (execve(2), "Limits on size of arguments and environment").
	mostStrings = 2 << 20
)

// sizer finds what is too large.
type sizer struct {
	plan     *plan.Plan
	instance input.Instance
	configs  map[string]Object
	problems problem.List
}

// sizes checks the objects, the Secrets, and the environments of all pods. It knows
// which input a Secret's value and a CA come from, and which unit all else.
func sizes(objects []Object, p *plan.Plan, instance input.Instance) problem.List {
	s := &sizer{plan: p, instance: instance, configs: map[string]Object{}}
	for _, o := range objects {
		if size := weight(o.Value); o.Kind() == "ConfigMap" {
			s.configs[place(o)] = o
			s.configMap(o)
		} else if size > mostRequest {
			s.add(s.from(o), "%s: %s has more than %d bytes, %d are the most that an API server stores", o.Path, o.ID(), size, mostRequest)
		}
	}
	for _, secret := range p.Secrets {
		total, largest, most := 0, "", 0
		for _, k := range secret.Keys {
			value, _ := instance.Credentials.Field(k.Field)
			if total += len(value); len(value) > most {
				largest, most = k.Field, len(value)
			}
		}
		if total > mostData {
			s.add(s.field(largest), "the Secret %s/%s has %d bytes with it, %d are the most", secret.Namespace, secret.Name, total, mostData)
		}
	}
	for _, pod := range podsOf(objects) {
		for _, c := range pod.containers() {
			s.container(pod.owner, c)
		}
	}
	return s.problems
}

// weight is about how many bytes a value has in JSON, and never more.
func weight(value any) int {
	const marks = 2 // the quotes of a text, the ends of a list or a map
	switch v := value.(type) {
	case string:
		return len(v) + marks
	case []any:
		sum := marks
		for _, e := range v {
			sum += weight(e)
		}
		return sum
	case map[string]any:
		sum := marks
		for key, e := range v {
			sum += len(key) + marks + len(":") + weight(e)
		}
		return sum
	}
	return 1
}

// configMap checks what a ConfigMap holds.
func (s *sizer) configMap(o Object) {
	size := 0
	for _, value := range labels(o.Value, "data") {
		size += len(value)
	}
	for _, value := range labels(o.Value, "binaryData") {
		size += base64.StdEncoding.DecodedLen(len(value))
	}
	if size > mostData {
		s.add(s.from(o), "%s: ConfigMap %s has %d bytes, %d are the most", o.Path, o.Name(), size, mostData)
	}
}

// variable is one of an environment: how long its value is and where it comes from.
type variable struct {
	size int
	from problem.Problem
}

// container checks what a container's program is started with.
func (s *sizer) container(o Object, c map[string]any) {
	environment := map[string]variable{}
	for _, source := range list(c, "envFrom") {
		if found, ours := s.configs[o.Namespace()+"/"+text(source, "configMapRef", "name")]; ours {
			for name, value := range labels(found.Value, "data") {
				environment[text(source, "prefix")+name] = variable{len(value), s.from(found)}
			}
		}
		for key, value := range s.secret(o.Namespace(), text(source, "secretRef", "name")) {
			environment[text(source, "prefix")+key] = value
		}
	}
	for _, e := range list(c, "env") {
		name := text(e, "name")
		environment[name] = variable{len(text(e, "value")), s.from(o)}
		if ref := object(e, "valueFrom", "configMapKeyRef"); ref != nil {
			found := s.configs[o.Namespace()+"/"+text(ref, "name")]
			environment[name] = variable{len(text(found.Value, "data", text(ref, "key"))), s.from(found)}
		}
		if ref := object(e, "valueFrom", "secretKeyRef"); ref != nil {
			environment[name] = s.secret(o.Namespace(), text(ref, "name"))[text(ref, "key")]
		}
	}
	const pointer = 8
	total := 0
	for _, word := range words(append(slices.Clone(list(c, "command")), list(c, "args")...)) {
		if total += len(word) + 1 + pointer; len(word)+1 > mostString {
			s.add(s.from(o), "%s: container %s has an argument of %d bytes, %d are the most that Linux takes", o.Path, text(c, "name"), len(word), mostString-1)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		v := environment[name]
		size := len(name) + len("=") + v.size + 1
		if total += size + pointer; size > mostString {
			s.add(v.from, "the variable %.80s of a pod has %d bytes with it, %d are the most that Linux takes", name, size-1, mostString-1)
		}
	}
	if total > mostStrings {
		s.add(s.from(o), "%s: container %s has %d bytes of arguments and environment, %d are the most that Linux takes", o.Path, text(c, "name"), total, mostStrings)
	}
}

// secret are the values of a Secret of the plan.
func (s *sizer) secret(namespace, name string) map[string]variable {
	values := map[string]variable{}
	for _, secret := range s.plan.Secrets {
		if secret.Namespace != namespace || secret.Name != name {
			continue
		}
		for _, k := range secret.Keys {
			value, _ := s.instance.Credentials.Field(k.Field)
			values[k.Key] = variable{len(value), s.field(k.Field)}
		}
	}
	return values
}

// field is the place of a field of the credentials.
func (s *sizer) field(name string) problem.Problem {
	tree := s.instance.Credentials.Tree
	p := problem.Problem{File: tree.Name, Pointer: "/" + strings.ReplaceAll(name, ".", "/")}
	p.Line, p.Column = tree.At(p.Pointer)
	return p
}

// from is the input that an object's size comes from, as far as it is known: a CA, or
// what the unit covers. Else it is the object.
func (s *sizer) from(o Object) problem.Problem {
	for _, r := range s.plan.Repositories {
		if o.Kind() == "ConfigMap" && r.CA != "" && r.CA == o.Name() {
			return s.field("restic.caPem")
		}
	}
	for _, i := range s.plan.Units {
		switch {
		case o.Kind() == "ConfigMap" && i.Copy != nil && i.Copy.CA != "" && i.Copy.CA == o.Name():
			return s.field("rclone.caPem")
		case i.Namespace == o.Namespace() && i.Labels["holdfast.dev/unit"] == text(o.Value, "metadata", "labels", "holdfast.dev/unit") && len(i.Covers) > 0:
			tree := s.instance.State.Tree
			p := problem.Problem{File: tree.Name, Pointer: i.Covers[0]}
			p.Line, p.Column = tree.At(p.Pointer)
			return p
		}
	}
	return problem.Problem{Pointer: o.ID()}
}

// add reports what is too large, once: many pods may have the same environment.
func (s *sizer) add(p problem.Problem, format string, args ...any) {
	p.Message, p.Rule = fmt.Sprintf(format, args...), "HF430"
	if !slices.Contains(s.problems, p) {
		s.problems = append(s.problems, p)
	}
}
