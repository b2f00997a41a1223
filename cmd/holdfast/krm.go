package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/overlay"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// What a function is handed and hands back (the KRM functions specification),
// and our configuration in it.
const (
	listVersion   = "config.kubernetes.io/v1"
	listKind      = "ResourceList"
	configVersion = "holdfast.dev/v1"
	configKind    = "Render"
)

// mostList is what krm reads: more than any list that kustomize can work on.
const mostList = 256 << 20

// newKRM is the command that kustomize runs.
func newKRM(c console) *cli.Command {
	references := false
	return &cli.Command{
		Name:      "krm",
		Usage:     "render as a function of kustomize: a ResourceList comes in and goes out",
		UsageText: "holdfast krm <LIST >LIST\n   holdfast krm --references >holdfast-references.yaml",
		Description: "The list's functionConfig has apiVersion " + configVersion + ", kind " + configKind + ", and in its spec\n" +
			"states, credentials, policy, kinds, secrets and sealedCert. A text is a path, relative\n" +
			"to the kustomization; an object is the document itself. Objects of the list that are\n" +
			"not rendered are passed on. Whatever goes wrong, the exit status is 1, as functions\n" +
			"have it, and what it was is on stderr.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "references", Destination: &references, DisableDefaultText: true,
				Usage: "print what a kustomization needs under configurations, so that generated names reach K8up's objects"},
		},
		Action: func(*cli.Context) error {
			if references {
				names, err := overlay.Names()
				return errors.Join(err, c.print(string(names)))
			}
			if err := runKRM(c); err != nil {
				return functionError{err}
			}
			return nil
		},
	}
}

// functionError is any error inside a function, whose status is always 1.
type functionError struct{ error }

// Unwrap gives the error itself.
func (e functionError) Unwrap() error { return e.error }

func runKRM(c console) error {
	list, err := readList(c)
	if err != nil {
		return err
	}
	c.secrets.learnTexts(list["functionConfig"])
	config, err := readFunctionConfig(list["functionConfig"])
	if err != nil {
		return err
	}
	config.known = c.secrets
	// It may hold the credentials, and nobody needs it after us.
	delete(list, "functionConfig")
	r, err := config.sources.renderer()
	if err != nil {
		return err
	}
	in, err := config.inputs()
	if err != nil {
		return err
	}
	warnReadable(c, slices.DeleteFunc(slices.Clone(in.Credentials), safe))
	if in.Credentials, err = config.sources.decrypted(c, in.Credentials); err != nil {
		return config.withoutLines(err)
	}
	mode, err := config.secrets(&in, "", true)
	if err != nil {
		return err
	}
	made, err := r.Render(in, renderer.Options{Secrets: mode})
	if err != nil {
		return config.withoutLines(err)
	}
	var stream bytes.Buffer
	if err := emit.Stream(&stream, made.Bundle); err != nil {
		return outside(err)
	}
	objects, err := yaml.Decode(stream.Bytes())
	if err != nil {
		return problem.Bug{Err: err}
	}
	list["items"] = replaced(list["items"], objects)
	out, err := yaml.Append(nil, list)
	if err != nil {
		return usageError{fmt.Sprintf("the list cannot be written: %v", err), ""}
	}
	if mode == secrets.Omit {
		noteOmitted(c, made.Planned)
	}
	noteIgnored(c, made.Planned)
	_, err = c.out.Write(out)
	return outside(err)
}

// readList reads the ResourceList.
func readList(c console) (map[string]any, error) {
	data, err := io.ReadAll(io.LimitReader(c.in, mostList))
	c.secrets.learn(data)
	if err != nil {
		return nil, unreadable("stdin", err)
	}
	documents, err := yaml.Decode(data)
	switch {
	case err != nil:
		return nil, usageError{fmt.Sprintf("stdin: %v", err), ""}
	case len(documents) != 1 || documents[0]["kind"] != listKind || documents[0]["apiVersion"] != listVersion:
		return nil, usageError{fmt.Sprintf("stdin is no %s of %s", listKind, listVersion),
			"kustomize runs this command: see docs/kustomize.md"}
	}
	return documents[0], nil
}

// functionConfig is the configuration of one run.
type functionConfig struct {
	sources
	secretOptions
	// texts and documents are the inputs by their field, in their order there.
	states, credentials []any
	policy              any
	// known learns the secrets of what is read.
	known *masker
	// inline are the names of documents that stand in the configuration.
	inline map[string]bool
}

func readFunctionConfig(value any) (*functionConfig, error) {
	wrong := func(format string, args ...any) error {
		return usageError{"functionConfig: " + fmt.Sprintf(format, args...), "see docs/kustomize.md"}
	}
	config, _ := value.(map[string]any)
	if config["apiVersion"] != configVersion || config["kind"] != configKind {
		return nil, wrong("expected apiVersion %s and kind %s", configVersion, configKind)
	}
	spec, _ := config["spec"].(map[string]any)
	c := &functionConfig{inline: map[string]bool{}}
	known := []string{"states", "credentials", "policy", "kinds", "secrets", "sealedCert"}
	for _, field := range slices.Sorted(maps.Keys(spec)) {
		value := spec[field]
		text, isText := value.(string)
		list, isList := value.([]any)
		var err error
		switch field {
		case "states", "credentials":
			if !isList {
				return nil, wrong("spec.%s is a list of paths and documents", field)
			}
			if field == "states" {
				c.states = list
			} else {
				c.credentials = list
			}
			continue
		case "policy":
			c.policy = value
			continue
		case "kinds":
			err = c.kinds.Set(text)
		case "secrets":
			err = c.secretOptions.given.Set(text)
		case "sealedCert":
			err = c.certificate.Set(text)
		default:
			if near := problem.Nearest(field, known); near != "" {
				return nil, wrong("spec.%s is unknown; did you mean %q?", field, near)
			}
			return nil, wrong("spec.%s is unknown", field)
		}
		if err != nil || !isText {
			return nil, wrong("spec.%s: %v", field, errors.Join(err))
		}
	}
	if len(c.states) == 0 || len(c.credentials) == 0 {
		return nil, wrong("spec.states and spec.credentials are required")
	}
	return c, nil
}

// inputs reads the documents, or takes them as they stand.
func (c *functionConfig) inputs() (renderer.Inputs, error) {
	var in renderer.Inputs
	var err error
	if in.States, err = c.documents("states", c.states, stateName); err != nil {
		return in, err
	}
	if in.Credentials, err = c.documents("credentials", c.credentials, credentialsName); err != nil {
		return in, err
	}
	if c.policy != nil {
		policies, err := c.documents("policy", []any{c.policy}, "")
		if err != nil {
			return in, err
		}
		in.Policy = &policies[0]
	}
	return in, nil
}

func (c *functionConfig) documents(field string, values []any, file string) ([]input.Document, error) {
	r := reader{used: true, secrets: c.known} // stdin has the list
	var documents []input.Document
	for i, value := range values {
		name := fmt.Sprintf("functionConfig spec.%s[%d]", field, i)
		switch v := value.(type) {
		case string:
			if v == "" {
				return nil, usageError{name + ": the path is empty", ""}
			}
			read, err := r.all([]string{v}, file)
			if err != nil {
				return nil, err
			}
			documents = append(documents, read...)
		case map[string]any:
			data, err := json.Marshal(v)
			if err != nil {
				return nil, usageError{name + ": the document cannot be written as JSON", ""}
			}
			c.inline[name] = true
			c.known.learn(data)
			if input.Encrypted(input.Document{Data: data}) {
				// Its checksum depends on the order of its keys, which kustomize has changed.
				return nil, usageError{name + ": sops encrypted this document", "give its path"}
			}
			documents = append(documents, input.Document{Name: name, Data: data})
		default:
			return nil, usageError{name + ": expected a path or a document", ""}
		}
	}
	return documents, nil
}

// withoutLines takes lines and columns off problems of documents that stand in
// the configuration: kustomize has written that anew, and the numbers would lead
// nowhere. The pointer says where it is.
func (c *functionConfig) withoutLines(err error) error {
	var problems problem.List
	if !errors.As(err, &problems) {
		return err
	}
	for i := range problems {
		if c.inline[problems[i].File] {
			problems[i].Line, problems[i].Column = 0, 0
		}
	}
	return problems
}

// replaced adds objects to the items of a list, in the place of those that have
// the same kind, namespace and name.
func replaced(items any, objects []map[string]any) []any {
	made := map[string]bool{}
	for _, o := range objects {
		made[manifest.Object{Value: o}.ID()] = true
	}
	all := []any{}
	list, _ := items.([]any)
	for _, item := range list {
		value, _ := item.(map[string]any)
		if !made[manifest.Object{Value: value}.ID()] {
			all = append(all, item)
		}
	}
	for _, o := range objects {
		all = append(all, o)
	}
	return all
}
