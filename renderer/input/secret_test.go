package input

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// TestNoSecretInAnyMessage gives random credentials random faults: in their
// values, keys, structure and text.
func TestNoSecretInAnyMessage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out what tries thousands of inputs")
	}
	v, all := validator(t), layouts(t)
	random := rand.New(rand.NewPCG(1, 2))
	refused, rules := 0, map[string]bool{}
	for round := range 1500 {
		l := all[round%len(all)]
		var document map[string]any
		if err := json.Unmarshal([]byte(l.credentials), &document); err != nil {
			t.Fatal(err)
		}
		var secrets []string
		replaceSecrets(document, "", func() string {
			secrets = append(secrets, randomSecret(random))
			return secrets[len(secrets)-1]
		})
		for range 1 + random.IntN(3) {
			mutate(random, document, secrets)
		}
		text, err := json.MarshalIndent(document, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if random.IntN(3) == 0 {
			at := random.IntN(len(text))
			switch random.IntN(4) {
			case 0:
				text = text[:at]
			case 1:
				text = slices.Delete(text, at, at+1)
			case 2:
				text = slices.Insert(text, at, byte(random.IntN(256)))
			default:
				// Two keys with the name of a secret.
				name, _ := json.Marshal(secrets[random.IntN(len(secrets))])
				text = append([]byte("{"+string(name)+": 1, "+string(name)+": 2,"), text[1:]...)
			}
		}
		_, problems := run(t, v, l.state, string(text), "")
		for _, secret := range secrets {
			leaks(t, problems, secret, string(text))
		}
		if len(problems) > 0 {
			refused++
		}
		for _, p := range problems {
			rules[p.Rule] = true
		}
	}
	if refused < 1000 {
		t.Errorf("only %d of the documents were refused", refused)
	}
	for _, rule := range []string{"HF001", "HF002", "HF004", "HF005", "HF006", "HF008", "HF010", "HF012", "HF013", "HF014"} {
		if !rules[rule] {
			t.Errorf("no document broke %s", rule)
		}
	}
}

// leaks fails if a problem holds a secret, or a good part of one.
func leaks(t *testing.T, problems problem.List, secret, text string) {
	t.Helper()
	const part = 8
	for _, p := range problems {
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, said := range []string{p.String(), string(data), p.Message, p.Pointer, p.Hint} {
			for i := 0; i+part <= len(secret); i++ {
				if strings.Contains(said, secret[i:i+part]) {
					t.Fatalf("%q is in a message: %s\n%s", secret, said, text)
				}
			}
		}
	}
}

func randomSecret(random *rand.Rand) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=%~"
	secret := make([]byte, 16+random.IntN(30))
	for i := range secret {
		secret[i] = letters[random.IntN(len(letters))]
	}
	return string(secret)
}

// replaceSecrets puts a new value in the place of every secret.
func replaceSecrets(value any, key string, secret func() string) any {
	switch v := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			v[k] = replaceSecrets(v[k], k, secret)
		}
	case string:
		if slices.Contains([]string{"accessKeyId", "secretAccessKey", "password", "password2", "username", "renderKey"}, key) {
			return secret()
		}
	}
	return value
}

// mutate puts one fault into a document, often with a secret in the wrong
// place.
func mutate(random *rand.Rand, document map[string]any, secrets []string) {
	secret := secrets[random.IntN(len(secrets))]
	var objects []map[string]any
	var visit func(value any)
	visit = func(value any) {
		if object, ok := value.(map[string]any); ok {
			objects = append(objects, object)
			keys := make([]string, 0, len(object))
			for k := range object {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				visit(object[k])
			}
		}
	}
	visit(document)
	object := objects[random.IntN(len(objects))]
	keys := make([]string, 0, len(object))
	for k := range object {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return
	}
	slices.Sort(keys)
	key := keys[random.IntN(len(keys))]
	switch random.IntN(9) {
	case 0:
		object[key] = secret
	case 1:
		object[secret] = object[key]
		delete(object, key)
	case 2:
		object[key] = []any{secret}
	case 3:
		object[key] = map[string]any{secret: secret}
	case 4:
		delete(object, key)
	case 5:
		object[key] = " " + secret + "\n"
	case 6:
		object[key+"x"] = object[key]
		delete(object, key)
	case 7:
		object[key] = random.IntN(100)
	default:
		object[key] = nil
	}
}

func TestCarelessPrint(t *testing.T) {
	t.Parallel()
	l := layouts(t)[0]
	instances, _ := run(t, validator(t), l.state, l.credentials, "")
	c := instances[0].Credentials
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if said := fmt.Sprintf(verb, c); strings.Contains(said, "example") {
			t.Errorf("%s shows %s", verb, said)
		}
	}
}
