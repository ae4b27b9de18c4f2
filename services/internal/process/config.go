package process

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// EnvPrefix precedes the environment variable of every setting: --nats-url is MAILWRIGHT_NATS_URL.
const EnvPrefix = "MAILWRIGHT"

// Options are the kong options that every program of ours shares: a setting comes from its
// flag, else its environment variable, else the YAML file of --config, else its default; and
// --help shows all of these names.
func Options(name, description string) []kong.Option {
	file := &fileResolver{}
	return []kong.Option{
		kong.Name(name),
		kong.Description(description),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 120}),
		kong.DefaultEnvars(EnvPrefix),
		kong.Resolvers(file),
		kong.ValueFormatter(formatHelp),
	}
}

// formatHelp appends a setting's other two names to its help text.
func formatHelp(v *kong.Value) string {
	if v.Flag == nil || v.Name == "help" || len(v.Tag.Envs) == 0 {
		return v.Help
	}
	names := "$" + strings.Join(v.Tag.Envs, ", $")
	if v.Name != "config" {
		names += ", file: " + v.Name
	}
	return strings.TrimSpace(v.Help + " [" + names + "]")
}

// fileResolver reads settings from the YAML file that --config or MAILWRIGHT_CONFIG names. The
// file's top-level keys are the long names of flags; one file may serve all programs, which is
// why a key that this program does not have is no error.
type fileResolver struct {
	loaded bool
	values map[string]*yaml.Node
}

// Validate implements kong.Resolver.
func (r *fileResolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (r *fileResolver) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil // kong has read it already, and it outranks the file
		}
	}
	if !r.loaded {
		r.loaded = true
		if err := r.load(configPath(ctx)); err != nil {
			return nil, err
		}
	}
	v, ok := r.values[flag.Name]
	if !ok {
		return nil, nil
	}
	if v.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("line %d of the config file must give a single value", v.Line)
	}
	return v.Value, nil
}

func (r *fileResolver) load(path string) error {
	if path == "" {
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config file: %w", err)
	}
	if r.values, err = members(raw); err != nil {
		return fmt.Errorf("config file %s: %w", path, err)
	}
	return nil
}

// members are a file's top-level members that have a value. It reads the YAML tree and decodes no
// value: a decoder's error quotes the value, and the file may hold a secret.
func members(raw []byte) (map[string]*yaml.Node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return nil, err
	}
	values := map[string]*yaml.Node{}
	if len(root.Content) == 0 {
		return values, nil
	}
	file := root.Content[0]
	if file.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: must be members with values, such as nats-url: nats://127.0.0.1:4222", file.Line)
	}
	for i := 0; i < len(file.Content); i += 2 {
		name, value := file.Content[i], file.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		if _, twice := values[name.Value]; twice {
			return nil, fmt.Errorf("line %d: %s stands here a second time", name.Line, name.Value)
		}
		if value.Tag != "!!null" {
			values[name.Value] = value
		}
	}
	return values, nil
}

func configPath(ctx *kong.Context) string {
	for _, f := range ctx.Flags() {
		if f.Name == "config" {
			path, _ := ctx.FlagValue(f).(string)
			return path
		}
	}
	return ""
}
