// Command yamlcheck reads manifests the way kubectl does and compares them with the objects they were made of.
//
// Standard input has one JSON object a line: {"object": <the object>, "yaml": "<its manifest>"}. Every leaf and
// every key of each object must come back from the manifest. Differences go to standard output; the exit
// status is 1 when there is one.
//
// Strings, booleans and null must be equal, numbers must have the same text, because kubectl sends what it has
// read on to the API server as JSON. kubectl itself changes some numbers, whether it reads them as JSON or as
// YAML: -0 becomes 0, 1.50 becomes 1.5, an integer beyond 64 bits a float. The API server's own encoder writes
// none of these but -0, which it reads back as 0. So where the text differs, it must be what the same library
// makes of the bare number.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

type pair struct {
	Object json.RawMessage `json:"object"`
	YAML   string          `json:"yaml"`
}

type checker struct {
	values, numbers, rewritten, differences int
}

func main() {
	var check checker
	pairs := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	objects := 0
	for {
		var next pair
		if err := pairs.Decode(&next); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			fmt.Fprintln(os.Stderr, "yamlcheck: standard input is no stream of pairs:", err)
			os.Exit(2)
		}
		objects++
		check.pair(next)
	}
	fmt.Printf("%d objects, %d keys and values, %d numbers (%d of them rewritten by kubectl itself), %d differences\n",
		objects, check.values, check.numbers, check.rewritten, check.differences)
	if objects == 0 || check.differences > 0 {
		os.Exit(1)
	}
}

func (c *checker) pair(next pair) {
	want, err := decode(next.Object)
	if err != nil {
		c.differ("object", "not JSON: %v\n%s", err, next.Object)
		return
	}
	// kubectl splits a file into documents at each line that starts with three dashes, before it reads any YAML.
	if strings.HasPrefix(next.YAML, "---") || strings.Contains(next.YAML, "\n---") {
		c.differ("manifest", "kubectl would split it\n%s", next.YAML)
	}
	text, err := yaml.YAMLToJSONStrict([]byte(next.YAML))
	if err != nil {
		c.differ("manifest", "%v\n%s", err, next.YAML)
		return
	}
	got, err := decode(text)
	if err != nil {
		c.differ("manifest", "%v\n%s", err, text)
		return
	}
	c.value("", want, got)
}

func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}

func (c *checker) value(path string, want, got any) {
	c.values++
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			c.differ(path, "want an object, got %#v", got)
			return
		}
		for key, value := range want {
			c.values++
			other, ok := object[key]
			if !ok {
				c.differ(path, "the key %q is missing", key)
				continue
			}
			c.value(fmt.Sprintf("%s/%.40q", path, key), value, other)
		}
		if len(object) != len(want) {
			c.differ(path, "want %d keys, got %d", len(want), len(object))
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			c.differ(path, "want %d elements, got %#v", len(want), got)
			return
		}
		for index := range want {
			c.value(fmt.Sprintf("%s/%d", path, index), want[index], list[index])
		}
	case json.Number:
		c.numbers++
		if want == got {
			return
		}
		bare, err := yaml.YAMLToJSON([]byte(want))
		number, ok := got.(json.Number)
		if err != nil || !ok || number.String() != string(bare) {
			c.differ(path, "want %s, got %#v, and kubectl makes %s of it", want, got, bare)
			return
		}
		c.rewritten++
	default:
		if want != got {
			c.differ(path, "want %#v, got %#v", want, got)
		}
	}
}

func (c *checker) differ(path, format string, arguments ...any) {
	c.differences++
	if c.differences <= 20 {
		fmt.Printf("%s: %s\n", path, fmt.Sprintf(format, arguments...))
	}
}
