package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/config"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "See what is configured, and where",
		Long: `A setting is a flag, a variable of the environment, and a key of the configuration
file, all by one name: --serve-dir is BDT_SERVE_DIR and 'serve-dir:'. Flags come
before the environment, and that before the file. A list replaces a list.

The file is YAML, bdt/config.yaml in your configuration directory, or what --config
or BDT_CONFIG names. File names in it are relative to it. In a variable, values are
separated by white space.

  key: home.pem
  owner: me.pub
  sn:
    - ID@sn1.example:8443
    - ID@sn2.example:8443
  expose:
    web: 127.0.0.1:8000
    ssh: 127.0.0.1:22
  serve-dir:
    pub: /srv/pub
  allow:
    web: [zone, ID]
    pub: [zone, everyone:r]

Settings:

` + settingsTable(),
		Example: `  bdt config show
  BDT_SN=ID@sn.example:8443 bdt config show --expose web=8000 --json`,
	}
	c.AddCommand(newConfigShow())
	return c
}

// settingsTable is the table of all settings, for help.
func settingsTable() string {
	var b strings.Builder
	for _, s := range settings {
		usage := strings.ReplaceAll(s.Usage, "`", "")
		for _, more := range []string{"(", ";", ": "} {
			usage, _, _ = strings.Cut(usage, more)
		}
		usage = strings.TrimSpace(usage)
		fmt.Fprintf(&b, "  %-10s %-14s %s\n", s.Name, s.Variable(), usage)
	}
	return strings.TrimRight(b.String(), "\n")
}

func newConfigShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the value of every setting and where it comes from",
		Example: `  bdt config show
  bdt config show --json | jq 'select(.source == "default" | not)'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, g := range settings.Unknown(os.Environ(), variableConfig) {
				warnUnknown(c.ErrOrStderr(), g)
			}
			return showConfig(c, asJSON)
		},
	}
	for _, s := range settings {
		if c.Flags().Lookup(s.Name) == nil && s.Name != "verbose" {
			settings.Flag(c.Flags(), s.Name, s.New())
		}
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	// The settings are applied once, by showConfig, which wants to know the sources.
	c.PersistentPreRunE = func(*cobra.Command, []string) error { return nil }
	return c
}

// warnUnknown says that a variable of the environment means nothing.
func warnUnknown(w io.Writer, g config.Guess) {
	if g.Meant != "" {
		fmt.Fprintf(w, "%s is no setting; is %s meant?\n", g.Name, g.Meant)
		return
	}
	fmt.Fprintf(w, "%s is no setting\n", g.Name)
}

// A settingView is a setting in JSON.
type settingView struct {
	Name   string   `json:"name"`
	Values []string `json:"values"` // empty: the default
	Source string   `json:"source"` // "default", "flag", a variable, FILE:LINE
}

func showConfig(c *cobra.Command, asJSON bool) error {
	e, err := applySettings(c)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if !asJSON && e.file.Path() != "" {
		fmt.Fprintf(out, "# %s\n", e.file.Path())
	}
	for _, entry := range e.entries {
		v := settingView{entry.Setting.Name, entry.Values, entry.Source}
		if v.Source == "" {
			v.Source = "default"
		}
		if asJSON {
			if v.Values == nil {
				v.Values = []string{}
			}
			encode(out, v)
			continue
		}
		fmt.Fprintf(out, "%-10s %-40s # %s\n", v.Name+":", yamlList(v.Values), v.Source)
	}
	return nil
}

// yamlList is the values of a setting as the configuration file takes them.
func yamlList(values []string) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return yamlText(values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = yamlText(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// yamlText is a text in YAML, in quotes if it needs them.
func yamlText(s string) string {
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/=@") == ""
	if plain && s[0] != '-' && s[0] != '=' && s[0] != '@' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// encode writes one JSON object on a line of its own.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // tickets hold &
	return e.Encode(v)
}
