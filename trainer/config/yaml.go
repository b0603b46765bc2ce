package config

import (
	"bytes"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// YAML returns the configuration as a file that [Load] reads back to an equal
// one: every knob with its comment, but for those of rewards and prompts that
// are not set.
func (c Config) YAML() ([]byte, error) {
	root, err := mapping(&c, schema())
	if err != nil {
		return nil, fmt.Errorf("config: write as YAML: %w", err)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("config: write as YAML: %w", err)
	}
	return out.Bytes(), enc.Close()
}

func mapping(c *Config, fields []field) (*yaml.Node, error) {
	defaults := Default()
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fields {
		v := f.value(c)
		// What has a default must be written even at zero, or it would come back.
		if f.omitEmpty && empty(v) && empty(f.value(&defaults)) {
			continue
		}
		value, err := node(c, f, v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
		name := &yaml.Node{Kind: yaml.ScalarNode, Value: f.name()}
		if f.help != "" {
			name.HeadComment = "# " + f.help
		}
		m.Content = append(m.Content, name, value)
	}
	return m, nil
}

func node(c *Config, f field, v reflect.Value) (*yaml.Node, error) {
	if f.sub != nil {
		return mapping(c, f.sub)
	}
	n := new(yaml.Node)
	if err := n.Encode(v.Interface()); err != nil {
		return nil, err
	}
	if f.kind() == "ints" {
		n.Style = yaml.FlowStyle
	}
	return n, nil
}

func empty(v reflect.Value) bool {
	if k := v.Kind(); k == reflect.Slice || k == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}
