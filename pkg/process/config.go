package process

import (
	"errors"
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
	values map[string]any
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
	switch v := v.(type) {
	case string, bool, int, float64:
		return fmt.Sprint(v), nil
	default:
		return nil, errors.New("the config file must give a single value")
	}
}

func (r *fileResolver) load(path string) error {
	if path == "" {
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config file: %w", err)
	}
	if err := yaml.Unmarshal(raw, &r.values); err != nil {
		return fmt.Errorf("config file %s: %w", path, err)
	}
	return nil
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
