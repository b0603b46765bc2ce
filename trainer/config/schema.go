package config

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// field is one key of a mapping: a knob, or a section with keys of its own.
type field struct {
	key       string // dotted, such as "ppo.learning_rate"
	index     []int  // for reflect's FieldByIndex, from the struct it was made from
	typ       reflect.Type
	help      string
	omitEmpty bool
	sub       []field // of a section
}

// name returns the last part of the key.
func (f field) name() string { return f.key[strings.LastIndexByte(f.key, '.')+1:] }

// fieldsOf lists the fields of a struct type in their order, under names that
// begin with prefix. Fields without a name in the tag mapstructure are none.
func fieldsOf(t reflect.Type, prefix string) []field {
	var out []field
	for sf := range t.Fields() {
		name, options, _ := strings.Cut(sf.Tag.Get("mapstructure"), ",")
		if options == "squash" {
			for _, f := range fieldsOf(sf.Type, prefix) {
				f.index = slices.Concat(sf.Index, f.index)
				out = append(out, f)
			}
			continue
		}
		f := field{key: prefix + name, index: sf.Index, typ: sf.Type, help: sf.Tag.Get("doc")}
		if name == "" || slices.Contains(derived, f.key) {
			continue
		}
		if f.help == "" {
			f.help = borrowed[f.key]
		}
		f.omitEmpty = strings.HasSuffix(sf.Tag.Get("yaml"), ",omitempty")
		if sf.Type.Kind() == reflect.Struct {
			f.sub = fieldsOf(sf.Type, f.key+".")
			for i := range f.sub {
				f.sub[i].index = slices.Concat(sf.Index, f.sub[i].index)
			}
		}
		out = append(out, f)
	}
	return out
}

// schema is the tree of Config.
var schema = sync.OnceValue(func() []field { return fieldsOf(reflect.TypeFor[Config](), "") })

// knobs lists the leaves of the schema.
var knobs = sync.OnceValue(func() []field { return leaves(schema()) })

func leaves(fields []field) []field {
	var out []field
	for _, f := range fields {
		if f.sub == nil {
			out = append(out, f)
		}
		out = append(out, leaves(f.sub)...)
	}
	return out
}

// isSection reports whether key is that of a section of Config, and not of a
// record, alone or in a list, which has keys of its own only.
func isSection(key string) bool {
	return slices.ContainsFunc(schema(), func(f field) bool { return f.key == key && f.sub != nil })
}

// value returns the knob's value in c.
func (f field) value(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(f.index) }

// envPrefix begins the names of all environment variables of the trainer.
const envPrefix = "PROXY_RLHF_"

// env returns the name of the knob's environment variable.
func (f field) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

// kind says what the knob takes, for the help and for errors.
func (f field) kind() string {
	if f.typ == reflect.TypeFor[time.Duration]() {
		return "duration"
	}
	switch t := f.typ; t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int:
		return t.Kind().String()
	case reflect.Uint64:
		return "uint"
	case reflect.Float64:
		return "float"
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Float64 {
			return "float"
		}
	case reflect.Slice:
		switch {
		case t.Elem().Kind() == reflect.Int:
			return "ints"
		case t == reflect.TypeFor[Hosts]():
			return "strings"
		}
	}
	return "yaml"
}
