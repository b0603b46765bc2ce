package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decodeText reads a knob from a flag or an environment variable: lists of
// records and mappings as YAML, everything else as it stands.
func decodeText(f field, text string) (reflect.Value, error) {
	n := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	if f.kind() == "yaml" {
		var doc yaml.Node
		if err := parseYAML([]byte(text), &doc); err != nil {
			return reflect.Value{}, fmt.Errorf("%s: %q is not YAML: %w", f.key, text, err)
		}
		if doc.Kind == 0 {
			return reflect.Zero(f.typ), nil
		}
		n = doc
	}
	return decode(f.key, &n, f.typ)
}

// parseYAML reads one document; none leaves doc as it is. Into a node, YAML is
// only parsed: decoding it into a plain value as well finds keys that occur twice
// and anchors that contain themselves.
func parseYAML(data []byte, doc *yaml.Node) error {
	var plain any
	if err := yaml.Unmarshal(data, &plain); err != nil {
		var several *yaml.TypeError // written on lines of their own
		if errors.As(err, &several) {
			return fmt.Errorf("yaml: %s", strings.Join(several.Errors, "; "))
		}
		return err
	}
	in := yaml.NewDecoder(bytes.NewReader(data))
	if err := in.Decode(doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	if err := in.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document; want one")
	}
	*doc = *doc.Content[0]
	return nil
}

// decode makes a value of type t from a node. Errors name the key and the value.
func decode(key string, n *yaml.Node, t reflect.Type) (reflect.Value, error) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch t.Kind() {
	case reflect.Slice:
		return decodeList(key, n, t)
	case reflect.Map:
		return decodeMap(key, n, t)
	case reflect.Struct:
		return decodeStruct(key, n, t)
	}
	if n.Kind != yaml.ScalarNode {
		return reflect.Value{}, fmt.Errorf("%s: want a single value, not a %s", key, kindOf(n))
	}
	if t.Kind() == reflect.Pointer {
		v, err := decodeScalar(key, n.Value, t.Elem())
		if err != nil {
			return v, err
		}
		p := reflect.New(t.Elem())
		p.Elem().Set(v)
		return p, nil
	}
	return decodeScalar(key, n.Value, t)
}

func decodeScalar(key, text string, t reflect.Type) (reflect.Value, error) {
	if t.Kind() == reflect.String {
		return reflect.ValueOf(text).Convert(t), nil
	}
	v, err := parse(strings.TrimSpace(text), t)
	if err != nil {
		return reflect.Value{}, fmt.Errorf("%s: %q is not %w", key, text, err)
	}
	return reflect.ValueOf(v).Convert(t), nil
}

// parse reads everything but strings. Its errors say what is wanted.
func parse(text string, t reflect.Type) (any, error) {
	if t == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, errors.New("a duration with its unit, such as 90s, 5m or 1h30m")
		}
		return d, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, errors.New("true or false")
	case reflect.Int:
		return parseInt(text)
	case reflect.Uint64:
		u, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, errors.New("a whole number from 0 to 2^64-1")
		}
		return u, nil
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, errors.New("a finite number")
		}
		return x, nil
	}
	return nil, fmt.Errorf("of a type that a configuration can hold (%v)", t)
}

// parseInt takes 1e3 as well, which is how YAML writes some whole numbers.
func parseInt(text string) (int, error) {
	if i, err := strconv.Atoi(text); err == nil {
		return i, nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || x != math.Trunc(x) || math.Abs(x) > 1<<53 {
		return 0, errors.New("a whole number")
	}
	return int(x), nil
}

// decodeList takes a list, and of numbers and addresses also one, or several with
// commas, so that a flag need not be quoted. An empty list is nil.
func decodeList(key string, n *yaml.Node, t reflect.Type) (reflect.Value, error) {
	items := n.Content
	if elem := t.Elem().Kind(); n.Kind == yaml.ScalarNode && (elem == reflect.Int || t == reflect.TypeFor[Hosts]()) {
		items = nil
		text := n.Value
		if elem == reflect.Int {
			text = strings.Trim(text, "[] ")
		}
		for part := range strings.SplitSeq(text, ",") {
			items = append(items, &yaml.Node{Kind: yaml.ScalarNode, Value: strings.TrimSpace(part)})
		}
		if len(items) == 1 && strings.TrimSpace(items[0].Value) == "" {
			items = nil
		}
	} else if n.Kind != yaml.SequenceNode {
		return reflect.Value{}, fmt.Errorf("%s: want a list, not %s", key, describe(n))
	}
	out := reflect.Zero(t)
	for i, item := range items {
		v, err := decode(fmt.Sprintf("%s[%d]", key, i), item, t.Elem())
		if err != nil {
			return reflect.Value{}, err
		}
		out = reflect.Append(out, v)
	}
	return out, nil
}

// decodeMap takes a mapping from text to text. An empty one is nil.
func decodeMap(key string, n *yaml.Node, t reflect.Type) (reflect.Value, error) {
	if n.Kind != yaml.MappingNode {
		return reflect.Value{}, fmt.Errorf("%s: want a mapping, not %s", key, describe(n))
	}
	if len(n.Content) == 0 {
		return reflect.Zero(t), nil
	}
	out := reflect.MakeMap(t)
	for i := 0; i < len(n.Content); i += 2 {
		name, item := n.Content[i].Value, n.Content[i+1]
		if t.Elem().Kind() == reflect.Slice && item.Kind == yaml.ScalarNode { // one value of a grid
			item = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{item}}
		}
		v, err := decode(key+"."+name, item, t.Elem())
		if err != nil {
			return reflect.Value{}, err
		}
		out.SetMapIndex(reflect.ValueOf(name), v)
	}
	return out, nil
}

// decodeStruct takes a mapping that stands in a list.
func decodeStruct(key string, n *yaml.Node, t reflect.Type) (reflect.Value, error) {
	out := reflect.New(t).Elem()
	fields := fieldsOf(t, key+".")
	err := walk(key, n, fields, func(f field, v reflect.Value) { out.FieldByIndex(f.index).Set(v) })
	return out, err
}

// walk visits the knobs that a mapping sets, at any depth, and returns all that
// is wrong with it. A key without a value sets nothing. key is "" at the top.
func walk(key string, n *yaml.Node, fields []field, set func(field, reflect.Value)) error {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		if key == "" {
			return fmt.Errorf("want a mapping of keys to values, not %s", describe(n))
		}
		return fmt.Errorf("%s: want a mapping of keys to values, not %s", key, describe(n))
	}
	byName := make(map[string]field, len(fields))
	for _, f := range fields {
		byName[f.name()] = f
	}
	var errs []error
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, n.Content[i+1]
		f, ok := byName[name]
		switch {
		case !ok && key == "":
			errs = append(errs, unknown(name, fields))
		case !ok:
			known := fields
			if !strings.Contains(key, "[") {
				known = schema() // it may belong somewhere else
			}
			errs = append(errs, unknown(key+"."+name, known))
		case value.Tag == "!!null":
		case f.sub != nil:
			errs = append(errs, walk(f.key, value, f.sub, set))
		default:
			v, err := decode(f.key, value, f.typ)
			if err == nil {
				set(f, v)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	}
	return "single value"
}

// describe quotes a single value, and calls the others by their kind.
func describe(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return strconv.Quote(n.Value)
	}
	return "a " + kindOf(n)
}
