package publish

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Difference is how a plan of an instance differs from the plan before it. It names
// units and their settings and quotes no value.
type Difference struct {
	Instance string
	// Off says that backup is off now; then no unit counts as vanished.
	Off bool
	// Appeared are ids of units that were not backed up before.
	Appeared []string
	// Vanished are ids of units that were backed up and that the inputs no longer
	// have.
	Vanished []string
	// Exempted are ids of units that were backed up and that the inputs now
	// exempt, with a reason.
	Exempted []string
	// Changed are units of both plans, by id.
	Changed []ChangedUnit
	// Settings are the fields of plan.json that changed apart from those of the units,
	// such as "window" or "maintenance".
	Settings []string
}

// ChangedUnit is a unit that both plans have, with different settings.
type ChangedUnit struct {
	ID string
	// Settings are the fields of the unit in plan.json that changed, such as
	// "retention"; of its values and of its capture the entry: "values.BANDWIDTH".
	Settings []string
}

// decided is a plan.json as plain values: another version of Holdfast may have written
// it, with other fields.
type decided struct {
	// version is that of the form.
	version    any
	enabled    bool
	units      map[string]map[string]any
	exemptions map[string]bool
	rest       map[string]any
}

// comparePlans compares two plan.json of one instance. before may be nil if there is none.
// The error says that one of them is not a plan.
func comparePlans(before, after []byte) (Difference, error) {
	var was decided
	var err error
	if before != nil {
		if was, err = readDecided(before); err != nil {
			return Difference{}, err
		}
	}
	is, err := readDecided(after)
	if err != nil {
		return Difference{}, err
	}
	d := Difference{Off: !is.enabled}
	d.Instance, _ = is.rest["instance"].(string)
	same := reflect.DeepEqual
	if before != nil && !reflect.DeepEqual(was.version, is.version) {
		same = agree
		for _, units := range []map[string]map[string]any{was.units, is.units} {
			for _, unit := range units {
				delete(unit, "decisions") // the longer list has what nobody decided, too
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(was.units)) {
		switch {
		case is.units[id] != nil:
			if changed := changedSettings(was.units[id], is.units[id], same); len(changed) > 0 {
				d.Changed = append(d.Changed, ChangedUnit{ID: id, Settings: changed})
			}
		case is.exemptions[id]:
			d.Exempted = append(d.Exempted, id)
		case is.enabled:
			d.Vanished = append(d.Vanished, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(is.units)) {
		if was.units[id] == nil {
			d.Appeared = append(d.Appeared, id)
		}
	}
	if before != nil && was.enabled && is.enabled {
		d.Settings = changedKeys("", was.rest, is.rest, same)
	}
	return d, nil
}

func readDecided(data []byte) (decided, error) {
	d := decided{units: map[string]map[string]any{}, exemptions: map[string]bool{}}
	if err := json.Unmarshal(data, &d.rest); err != nil {
		return d, fmt.Errorf("it is no plan: %w", err)
	}
	if _, named := d.rest["instance"].(string); !named {
		return d, fmt.Errorf("it is no plan: it names no instance")
	}
	d.version = d.rest["schemaVersion"]
	d.enabled, _ = d.rest["enabled"].(bool)
	each := func(field string, visit func(id string, entry map[string]any)) error {
		list, ok := d.rest[field].([]any)
		if !ok {
			return fmt.Errorf("it is no plan: it has no list of %s", field)
		}
		for _, e := range list {
			entry, _ := e.(map[string]any)
			id, _ := entry["id"].(string)
			if id == "" {
				return fmt.Errorf("it is no plan: one of its %s has no id", field)
			}
			visit(id, entry)
		}
		return nil
	}
	if err := each("units", func(id string, entry map[string]any) { d.units[id] = entry }); err != nil {
		return d, err
	}
	if err := each("exemptions", func(id string, _ map[string]any) { d.exemptions[id] = true }); err != nil {
		return d, err
	}
	// What the lists say is said of each source; totals only count it.
	for _, field := range []string{"units", "exemptions", "totals"} {
		delete(d.rest, field)
	}
	return d, nil
}

// agree says whether two values of plans of different forms may mean the same. One form
// leaves out what the other says, and may say it in another way: only what both say in the
// same way can differ.
func agree(before, after any) bool {
	switch after := after.(type) {
	case map[string]any:
		before, ok := before.(map[string]any)
		for key := range after {
			if was, said := before[key]; ok && said && !agree(was, after[key]) {
				return false
			}
		}
		return true
	case []any:
		before, ok := before.([]any)
		if !ok || len(before) != len(after) {
			return !ok
		}
		for n := range after {
			if !agree(before[n], after[n]) {
				return false
			}
		}
		return true
	}
	return before == nil || after == nil || reflect.TypeOf(before) != reflect.TypeOf(after) || reflect.DeepEqual(before, after)
}

// changedSettings names the fields of a unit that changed. Those that follow
// from others are named only when nothing else is to be said.
func changedSettings(before, after map[string]any, same func(was, is any) bool) []string {
	changed := changedKeys("", before, after, same)
	own := slices.DeleteFunc(slices.Clone(changed), func(name string) bool {
		return slices.Contains([]string{
			"covers", "decisions", "egress", "expectedSnapshots", "ingress", "labels", "podLabels", "restoreEgress", "tags", "tier",
		}, name)
	})
	if len(own) > 0 {
		return own
	}
	return changed
}

// changedKeys names the entries that differ, sorted; those of two bags of
// settings one by one.
func changedKeys(prefix string, before, after map[string]any, same func(was, is any) bool) []string {
	all := maps.Clone(before)
	maps.Copy(all, after)
	var changed []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if same(before[key], after[key]) {
			continue
		}
		was, wasBag := before[key].(map[string]any)
		is, isBag := after[key].(map[string]any)
		if prefix == "" && (key == "values" || key == "capture") && wasBag && isBag {
			changed = append(changed, changedKeys(key+".", was, is, same)...)
			continue
		}
		changed = append(changed, prefix+key)
	}
	return changed
}
