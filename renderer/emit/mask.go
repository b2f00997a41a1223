package emit

import (
	"bytes"
	"fmt"
	"path"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
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

// presentable returns what of both versions of a file may be shown. ok is
// false when only the fact may be shown that they differ: the file is not text
// that can be masked, or not readable, so that nobody knows what stands in it.
func presentable(name string, before, after version) (was, now string, ok bool) {
	secret := before.secret || after.secret
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
	default:
		ok = !secret && text(before.data) && text(after.data)
		return string(before.data), string(after.data), ok
	}
	oldObjects, err := manifest.Decode(before.data)
	if err != nil {
		return "", "", false
	}
	newObjects, err := manifest.Decode(after.data)
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
		ok = text(before.data) && text(after.data)
		return string(before.data), string(after.data), ok
	}
	oldByID, newByID := byIdentity(oldObjects), byIdentity(newObjects)
	oldText, err := manifest.AppendDocuments(nil, maskAll(oldObjects, newByID, false))
	if err != nil {
		return "", "", false
	}
	newText, err := manifest.AppendDocuments(nil, maskAll(newObjects, oldByID, true))
	if err != nil {
		return "", "", false
	}
	return string(oldText), string(newText), true
}

func text(data []byte) bool {
	return utf8.Valid(data) && bytes.IndexByte(data, 0) < 0
}

func isSecret(object map[string]any) bool { return object["kind"] == "Secret" }

// namesSecret reports whether a file is called as those are in which Holdfast
// writes Secrets.
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
// somebody misspelled: rather one too many is masked than one too few.
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

// holdsSecret reports whether a Secret is somewhere inside value, as in a List.
// What only names a Secret, as {kind: Secret, name: x} does, is none.
func holdsSecret(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		if v["kind"] == "SecretList" || v["stringData"] != nil || isSecret(v) && (v["data"] != nil || v["stringData"] != nil) {
			return true
		}
		for _, item := range v {
			if _, collection := size(item); collection && isSecret(v) || holdsSecret(item) {
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

// maskAll masks objects. Those that are no Secrets are masked as well: one of
// them may be a Secret whose kind somebody misspelled. others are those of the
// other version; marking says which values are not as there.
func maskAll(objects []map[string]any, others map[string]map[string]any, marking bool) []map[string]any {
	masked := make([]map[string]any, len(objects))
	for i, object := range objects {
		masked[i] = maskObject(object, others[identity(object)], marking)
	}
	return masked
}

// maskObject keeps what tells an object from others and shows of everything
// else only which keys there are. Annotations are masked, too: kubectl keeps a
// copy of the whole object in one.
func maskObject(object, other map[string]any, marking bool) map[string]any {
	masked := map[string]any{}
	for key, value := range object {
		switch key {
		case "apiVersion", "kind", "type", "immutable":
			masked[key] = value
			if _, collection := size(value); collection {
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

// maskEntries masks each value of the map at key, or what else stands there.
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
	if n, collection := size(value); collection && n == 0 || value == nil {
		return value
	}
	if other, ok := others[key]; marking && ok && !reflect.DeepEqual(value, other) {
		return maskedChanged
	}
	return maskedValue
}

// size returns how many entries a map or list has.
func size(value any) (n int, collection bool) {
	switch v := value.(type) {
	case map[string]any:
		return len(v), true
	case []any:
		return len(v), true
	}
	return 0, false
}
