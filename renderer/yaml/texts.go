package yaml

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// EachText visits the texts of an object in the order in which Append writes them, and
// puts in their place what visit returns; keys are its only until visit returns. A value
// that is neither a text nor an object is an error.
func EachText(object map[string]any, visit func(keys []string, text string) string) error {
	return eachText(object, levelObject, nil, visit)
}

func eachText(m map[string]any, at level, keys []string, visit func(keys []string, text string) string) error {
	names := slices.Collect(maps.Keys(m))
	order(names, at)
	for _, name := range names {
		below := append(keys, name)
		switch v := m[name].(type) {
		case string:
			m[name] = visit(below, v)
		case map[string]any:
			if err := eachText(v, at.below(name), below, visit); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is a %T, and no text", strings.Join(below, "/"), v)
		}
	}
	return nil
}
