package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// AddFlags adds a flag for each knob, under its dotted name and with its default:
// --ppo.learning_rate 3e-4. Lists of numbers are written 256,128, and what has
// parts of its own as YAML: --reward.terms '[{type: vader}]'.
func AddFlags(fs *pflag.FlagSet) {
	c := Default()
	for _, f := range knobs() {
		v := &flagValue{knob: f, value: f.value(&c)}
		flag := fs.VarPF(v, f.key, "", f.help)
		if f.kind() == "bool" {
			flag.NoOptDefVal = "true"
		}
	}
}

// FlagError adds to the error for an unknown flag the one that was probably
// meant, and returns other errors as they are. It is for cobra's
// SetFlagErrorFunc.
func FlagError(err error) error {
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) {
		return err
	}
	name, all := missing.GetSpecifiedName(), names(knobs())
	for _, k := range all {
		if strings.HasPrefix(k, name+".") {
			return fmt.Errorf("unknown flag --%s: it has a flag for each of its parts, such as --%s, and is given as a whole in a configuration file", name, k)
		}
	}
	if s := suggest(name, all); s != "" {
		return fmt.Errorf("unknown flag --%s: did you mean --%s?", name, s)
	}
	return err
}

// flagValue is a knob on the command line.
type flagValue struct {
	knob  field
	value reflect.Value
}

var _ pflag.Value = (*flagValue)(nil)

func (v *flagValue) Set(text string) error {
	value, err := decodeText(v.knob, text)
	if err == nil {
		v.value = value
	}
	return err
}

func (v *flagValue) Type() string { return v.knob.kind() }

// String returns the value as it is written on the command line.
func (v *flagValue) String() string {
	if !v.value.IsValid() {
		return "" // pflag looks at the zero flagValue too
	}
	switch v.knob.kind() {
	case "ints":
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(v.value), "[]"), " ", ",")
	case "strings":
		return strings.Join(v.value.Interface().(Hosts), ",")
	case "yaml":
		if empty(v.value) {
			return ""
		}
		return flowYAML(v.value.Interface())
	}
	if v.value.Kind() == reflect.Pointer {
		if v.value.IsNil() {
			return ""
		}
		return fmt.Sprint(v.value.Elem())
	}
	return fmt.Sprint(v.value)
}

// flowYAML writes a value on one line.
func flowYAML(v any) string {
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return ""
	}
	n.Style = yaml.FlowStyle
	out, err := yaml.Marshal(&n)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
