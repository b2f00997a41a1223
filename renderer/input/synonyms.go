package input

import (
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// words are those that people write for a key whose name they have to guess, without
// case, "-" and "_". A word counts only where its key may stand. The schemas have them
// (x-synonyms), for it is they that name the keys.
type words map[string][]string

// words are those of the schemas; of a section they stand at its top.
func (l library) words() words {
	all := words{}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		schema, _ := l[name].(map[string]any)
		synonyms, _ := schema["x-synonyms"].(map[string]any)
		for key, list := range synonyms {
			for _, word := range texts(list) {
				all[key] = append(all[key], plain(word))
			}
		}
	}
	return all
}

// texts are the strings of a list.
func texts(value any) []string {
	list, _ := value.([]any)
	var all []string
	for _, entry := range list {
		if text, ok := entry.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// plain is a key without case, "-", "_" and ".".
func plain(key string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(key))
}

// meant returns the known key that an unknown one stands for, or "": the same
// in another spelling, another word for it, or a misspelt one. Keys that the
// object has already are not what was meant, unless only the spelling differs.
func (w words) meant(key string, known []string, object map[string]any) string {
	const longest = 64
	if len(key) > longest {
		return ""
	}
	var absent []string
	for _, k := range known {
		if plain(k) == plain(key) {
			return k
		}
		if _, present := object[k]; !present {
			absent = append(absent, k)
		}
	}
	for _, k := range absent {
		if slices.Contains(w[k], plain(key)) {
			return k
		}
	}
	return problem.Nearest(key, absent)
}

// placeOf is the place below a section of the state that a key stands for which was
// put at the top, such as /databases/postgresql for "postgres"; "" if there is none.
func (f *form) placeOf(key string) (section, name string) {
	for _, section := range f.shape.keys {
		for _, name := range f.shape.properties[section].keys {
			if f.shape.listsSources(section, name) && (plain(name) == plain(key) || slices.Contains(f.words[name], plain(key))) {
				return section, name
			}
		}
	}
	return "", ""
}

// listsSources says whether what stands in a section under a name is a list of
// sources, which have nothing to do with those under its other names.
func (s *shape) listsSources(section, name string) bool {
	list := s.descend([]string{section, name})
	return list != nil && s.properties[section].items == nil && list.items != nil && list.items.coverable
}
