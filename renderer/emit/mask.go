package emit

import (
	"bytes"
	"fmt"
	"path"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

const (
	maskedValue   = "(masked)"
	maskedChanged = "(masked, changed)"
)

// version is one side of a comparison of a file.
type version struct {
	data   []byte
	exists bool
	// secret says that the file is known to hold plain-text secrets.
	secret bool
	// size is that of a file too large to be read, 0 for others.
	size int64
}

// presentable returns what may be shown of both versions of a file. ok is false when
// nothing may be shown but that they differ: the file is not text that can be masked,
// or cannot be parsed, so it may hold a secret.
func presentable(name string, before, after version) (was, now string, ok bool) {
	secret := before.secret || after.secret
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
	default:
		ok = !secret && isText(before.data) && isText(after.data)
		return string(before.data), string(after.data), ok
	}
	oldObjects, err := yaml.Decode(before.data)
	if err != nil {
		return "", "", false
	}
	newObjects, err := yaml.Decode(after.data)
	if err != nil {
		return "", "", false
	}
	secret = secret || namesSecret(name) && (!allReferences(oldObjects) || !allReferences(newObjects))
	for _, object := range append(append([]map[string]any{}, oldObjects...), newObjects...) {
		if isSecret(object) || seemsSecret(object) {
			secret = true
		} else if holdsSecret(object) {
			return "", "", false
		}
	}
	if !secret {
		ok = isText(before.data) && isText(after.data)
		return string(before.data), string(after.data), ok
	}
	oldByID, newByID := byIdentity(oldObjects), byIdentity(newObjects)
	oldText, err := yaml.AppendDocuments(nil, maskAll(oldObjects, newByID, false))
	if err != nil {
		return "", "", false
	}
	newText, err := yaml.AppendDocuments(nil, maskAll(newObjects, oldByID, true))
	if err != nil {
		return "", "", false
	}
	return string(oldText), string(newText), true
}

func isText(data []byte) bool {
	return utf8.Valid(data) && bytes.IndexByte(data, 0) < 0
}

func isSecret(object map[string]any) bool { return object["kind"] == "Secret" }

// namesSecret reports whether a file has a name that Holdfast gives to files with
// Secrets.
func namesSecret(name string) bool {
	return strings.HasPrefix(strings.ToLower(path.Base(name)), "secret")
}

// allReferences reports whether there are only objects that stand for a Secret
// and hold no value.
func allReferences(objects []map[string]any) bool {
	for _, object := range objects {
		if kind := object["kind"]; kind != "ExternalSecret" && kind != "SealedSecret" || seemsSecret(object) {
			return false
		}
	}
	return true
}

// seemsSecret reports whether an object looks like a Secret whose kind or fields
// somebody misspelled. It is better to mask one too many than one too few.
func seemsSecret(object map[string]any) bool {
	kind, _ := object["kind"].(string)
	for key, value := range object {
		if value == nil {
			continue
		}
		switch {
		case strings.EqualFold(key, "stringData"):
			return true
		case strings.EqualFold(key, "data") && kind != "ConfigMap":
			return true
		}
	}
	return false
}

// holdsSecret reports whether a Secret is somewhere inside value, as in a List. A mere
// reference, such as {kind: Secret, name: x}, does not count.
func holdsSecret(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		if v["kind"] == "SecretList" || v["stringData"] != nil || isSecret(v) && (v["data"] != nil || v["stringData"] != nil) {
			return true
		}
		for _, item := range v {
			if _, collection := entryCount(item); collection && isSecret(v) || holdsSecret(item) {
				return true
			}
		}
	case []any:
		for _, item := range v {
			if holdsSecret(item) {
				return true
			}
		}
	}
	return false
}

func identity(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	return fmt.Sprintf("%q %q %q", fmt.Sprint(object["kind"]), fmt.Sprint(metadata["namespace"]), fmt.Sprint(metadata["name"]))
}

func byIdentity(objects []map[string]any) map[string]map[string]any {
	m := map[string]map[string]any{}
	for _, object := range objects {
		m[identity(object)] = object
	}
	return m
}

// maskAll masks objects. It masks those that are not Secrets as well, because one of
// them may be a Secret whose kind somebody misspelled. others are the objects of the
// other version; with marking, a value that differs there is marked.
func maskAll(objects []map[string]any, others map[string]map[string]any, marking bool) []map[string]any {
	masked := make([]map[string]any, len(objects))
	for i, object := range objects {
		masked[i] = maskObject(object, others[identity(object)], marking)
	}
	return masked
}

// maskObject keeps what identifies an object, and of everything else only the keys.
// Annotations are masked, too, because kubectl keeps a copy of the whole object in one.
func maskObject(object, other map[string]any, marking bool) map[string]any {
	masked := map[string]any{}
	for key, value := range object {
		switch key {
		case "apiVersion", "kind", "type", "immutable":
			masked[key] = value
			if _, collection := entryCount(value); collection {
				masked[key] = maskValue(value, other, key, marking)
			}
		case "metadata":
			masked[key] = maskMetadata(value, other[key], marking)
		default:
			masked[key] = maskEntries(value, other, key, marking)
		}
	}
	return masked
}

func maskMetadata(value, other any, marking bool) any {
	metadata, ok := value.(map[string]any)
	if !ok {
		return maskedValue
	}
	others, _ := other.(map[string]any)
	masked := map[string]any{}
	for key, value := range metadata {
		switch key {
		case "name", "namespace", "labels":
			masked[key] = value
		default:
			masked[key] = maskEntries(value, others, key, marking)
		}
	}
	return masked
}

// maskEntries masks each value of the map at key. What is no map is masked as a whole.
func maskEntries(value any, parent map[string]any, key string, marking bool) any {
	entries, ok := value.(map[string]any)
	if !ok {
		return maskValue(value, parent, key, marking)
	}
	others, _ := parent[key].(map[string]any)
	masked := map[string]any{}
	for key, value := range entries {
		masked[key] = maskValue(value, others, key, marking)
	}
	return masked
}

func maskValue(value any, others map[string]any, key string, marking bool) any {
	if n, collection := entryCount(value); collection && n == 0 || value == nil {
		return value
	}
	if other, ok := others[key]; marking && ok && !reflect.DeepEqual(value, other) {
		return maskedChanged
	}
	return maskedValue
}

// entryCount returns how many entries a map or list has.
func entryCount(value any) (n int, collection bool) {
	switch v := value.(type) {
	case map[string]any:
		return len(v), true
	case []any:
		return len(v), true
	}
	return 0, false
}
