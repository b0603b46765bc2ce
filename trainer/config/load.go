package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// Load returns the configuration from its four places: the defaults, the YAML
// file path ("": none), the environment (as os.Environ gives it), and those flags
// of [AddFlags] that were set on the command line (nil: none). It is complete and
// valid.
//
// OLLAMA_HOST counts as ollama.host in the environment where PROXY_RLHF_OLLAMA_HOST
// is not there. An empty variable counts as not there. Lists and mappings replace
// those of earlier places.
//
// The error lists everything that is wrong, each with the place it came from:
//
//	configs/x.yaml: unknown key "ppo.learning_rte": did you mean "ppo.learning_rate"?
func Load(path string, flags *pflag.FlagSet, environ []string) (Config, error) {
	l := newLoader()
	if err := errors.Join(l.addFile(path), l.addEnvironment(environ)); err != nil {
		return Config{}, err
	}
	l.addFlags(flags)
	var c Config
	if err := l.store.UnmarshalExact(&c); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	c = c.Complete()
	var errs []error
	for _, p := range c.problems() {
		errs = append(errs, fmt.Errorf("%s: %w", l.source(p.key()), p))
	}
	if len(errs) > 0 {
		return Config{}, errors.Join(errs...)
	}
	return c, nil
}

// loader collects typed values of knobs; viper knows which of them win.
type loader struct {
	store *viper.Viper
	from  map[string]string // key to the place that set it last
	path  string
}

func newLoader() *loader {
	l := &loader{store: viper.New(), from: make(map[string]string)}
	c := Default()
	for _, f := range knobs() {
		l.store.SetDefault(f.key, f.value(&c).Interface())
	}
	return l
}

// source names the place that a knob's value comes from. What no knob set, such
// as a missing reward, is to be looked for in the file.
func (l *loader) source(key string) string {
	switch {
	case l.from[key] != "":
		return l.from[key]
	case l.path != "":
		return l.path
	}
	return "config"
}

// layer is what one place sets, nested as viper wants it.
type layer map[string]any

func (m layer) set(key string, v any) {
	section, rest, nested := strings.Cut(key, ".")
	if !nested {
		m[key] = v
		return
	}
	if m[section] == nil {
		m[section] = map[string]any{}
	}
	layer(m[section].(map[string]any)).set(rest, v)
}

func (l *loader) addFile(path string) error {
	l.path = path
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	var doc yaml.Node
	if err := parseYAML(data, &doc); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if doc.Kind == 0 || doc.Tag == "!!null" {
		return nil
	}
	values := layer{}
	err = walk("", &doc, schema(), func(f field, v reflect.Value) {
		values.set(f.key, v.Interface())
		l.from[f.key] = path
	})
	return errors.Join(prefixed(path, err), l.store.MergeConfigMap(values))
}

// prefixed puts the place before each of several errors.
func prefixed(place string, err error) error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, prefixed(place, e))
		}
		return errors.Join(out...)
	}
	return fmt.Errorf("%s: %w", place, err)
}

// addEnvironment passes over variables that resemble no knob's: programs around
// the trainer have some with the same prefix.
func (l *loader) addEnvironment(environ []string) error {
	byName := make(map[string]field)
	var all []string
	for _, f := range knobs() {
		byName[f.env()] = f
		all = append(all, strings.TrimPrefix(f.env(), envPrefix))
	}
	values := layer{}
	var errs []error
	add := func(f field, name, text string) {
		v, err := decodeText(f, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
			return
		}
		values.set(f.key, v.Interface())
		l.from[f.key] = "environment variable " + name
	}
	ollamaHost := ""
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		f, known := byName[name]
		rest, ours := strings.CutPrefix(name, envPrefix)
		switch {
		case text == "":
		case known:
			add(f, name, text)
		case name == "OLLAMA_HOST":
			ollamaHost = text
		case ours:
			if s := suggest(rest, all); s != "" {
				errs = append(errs, fmt.Errorf("unknown environment variable %s: did you mean %s?", name, envPrefix+s))
			}
		}
	}
	host := byName[envPrefix+"OLLAMA_HOST"]
	if ollamaHost != "" && !strings.HasPrefix(l.from[host.key], "environment") {
		add(host, "OLLAMA_HOST", ollamaHost)
	}
	return errors.Join(errors.Join(errs...), l.store.MergeConfigMap(values))
}

// addFlags takes what AddFlags' values have parsed already.
func (l *loader) addFlags(flags *pflag.FlagSet) {
	if flags == nil {
		return
	}
	flags.Visit(func(f *pflag.Flag) {
		v, ok := f.Value.(*flagValue)
		if !ok {
			return // the program's own
		}
		l.store.Set(v.knob.key, v.value.Interface())
		l.from[v.knob.key] = "flag --" + f.Name
	})
}
