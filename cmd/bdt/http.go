package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
)

// maxJSONBody bounds the body that --json takes into its object.
const maxJSONBody = 16 << 20

// A fetch is the command line of http.
type fetch struct {
	caller
	method  string
	headers []string
	data    string
	hasData bool
	output  string
	include bool
	fail    bool
	service string
	asJSON  bool
}

func newHTTP() *cobra.Command {
	var o fetch
	c := &cobra.Command{
		Use:   "http URL | ID|TICKET PATH",
		Short: "Make an HTTP request to a device",
		Long: `Make an HTTP request to a service of a device, and write the body of the answer to
standard output. The URL is bdt://ID/path, or bdt://SERVICE.ID/path for a service other
than "http".

Redirects are not followed. The status is 1 if there was no answer, or with --fail if
its status is 400 or above.`,
		Example: `  bdt http bdt://ID/
  bdt http 'bdt:ID?sn=…' /api/items -d '{"name":"x"}' -H 'Content-Type: application/json'

  # Files that 'bdt up --serve-dir pub=DIR' serves
  bdt http bdt://pub.ID/photo.jpg -o photo.jpg
  bdt http bdt://pub.ID/photo.jpg -X PUT -d @photo.jpg --fail`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completePeers,
		RunE: func(c *cobra.Command, args []string) error {
			o.hasData = c.Flags().Changed("data")
			return o.run(c, args)
		},
	}
	o.flags(c)
	f := c.Flags()
	f.StringVarP(&o.method, "method", "X", "", "`METHOD` (default: GET, or POST with -d)")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "header `NAME: VALUE`; may be repeated")
	f.StringVarP(&o.data, "data", "d", "", "body: `TEXT`, @FILE, or @- for standard input")
	f.StringVarP(&o.output, "output", "o", "", "write the body to `FILE`")
	f.BoolVarP(&o.include, "include", "i", false, "write the status and the headers, too")
	f.BoolVarP(&o.fail, "fail", "f", false, "take a status of 400 or above for a failure, and write no body")
	f.StringVar(&o.service, "service", "", "`SERVICE` to ask (default http, or what the URL or ticket says)")
	f.BoolVar(&o.asJSON, "json", false, "print status, headers and body as one JSON object")
	return c
}

// parse reads the arguments: whom to ask and for what.
func (o *fetch) parse(args []string) (flagvalue.Target, *url.URL, error) {
	text, path := args[0], "/"
	if rest, ok := strings.CutPrefix(text, "bdt://"); ok {
		if len(args) > 1 {
			return flagvalue.Target{}, nil, command.Usagef("a bdt:// URL has its path within")
		}
		var host string
		host, path, _ = strings.Cut(rest, "/")
		path = "/" + path
		text = host
		if i := strings.LastIndexByte(host, '.'); i >= 0 {
			text = host[i+1:] + "/" + host[:i]
		}
	} else if len(args) > 1 {
		path = args[1]
	}
	t, err := parseTarget(text)
	if err != nil {
		return t, nil, err
	}
	if o.service != "" {
		t.Service = o.service
	}
	t.Service = cmp.Or(t.Service, bdt.HTTPService)
	if err := flagvalue.CheckService(t.Service); err != nil {
		return t, nil, command.Usagef("%w", err)
	}
	if !strings.HasPrefix(path, "/") {
		return t, nil, command.Usagef("the path %q does not begin with a slash", path)
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return t, nil, command.Usagef("path %q: %w", path, err)
	}
	u.Scheme, u.Host = "http", t.ID().String()
	return t, u, nil
}

// body opens the body of the request; nil for none.
func (o *fetch) body(c *cobra.Command) (io.ReadCloser, int64, error) {
	name, isFile := strings.CutPrefix(o.data, "@")
	switch {
	case !o.hasData:
		return nil, 0, nil
	case !isFile:
		return io.NopCloser(strings.NewReader(o.data)), int64(len(o.data)), nil
	case name == "-":
		return io.NopCloser(c.InOrStdin()), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, command.Advise(err, "name a file with -d @FILE; text that begins with @ is read from standard input with -d @-")
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return f, -1, err
	}
	return f, info.Size(), nil
}

// request makes the request.
func (o *fetch) request(c *cobra.Command, u *url.URL) (*http.Request, error) {
	body, size, err := o.body(c)
	if err != nil {
		return nil, err
	}
	method := cmp.Or(o.method, http.MethodGet)
	if o.method == "" && body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(c.Context(), method, u.String(), nil)
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	if body != nil {
		r.Body, r.ContentLength = body, size
		if size == 0 {
			r.Body = http.NoBody
		}
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" {
			return nil, command.Usagef("header %q is not NAME: VALUE", h)
		}
		if value = strings.TrimSpace(value); strings.EqualFold(name, "host") {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "bdt")
	}
	return r, nil
}

// run is http.
func (o *fetch) run(c *cobra.Command, args []string) error {
	t, u, err := o.parse(args)
	if err != nil {
		return err
	}
	r, err := o.request(c, u)
	if err != nil {
		return err
	}
	d, err := o.open(c, t)
	if err != nil {
		return err
	}
	defer d.Close()
	transport := httpTransport(d, t)
	defer transport.CloseIdleConnections()
	stop := watch(c, d, t.ID())
	resp, err := transport.RoundTrip(r)
	stop()
	if err != nil {
		return adviseDial(fmt.Errorf("http %s: %w", t.ID().Short(), err))
	}
	defer resp.Body.Close()
	return o.show(c, resp)
}

// httpTransport sends requests to a service of a device.
func httpTransport(d daemon.Device, t flagvalue.Target) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.Dial(ctx, t.ID(), t.Service)
		},
		DisableCompression: true, // what was asked for is what is shown
	}
}

// show writes the answer.
func (o *fetch) show(c *cobra.Command, resp *http.Response) error {
	failed := error(nil)
	if o.fail && resp.StatusCode >= 400 {
		failed = command.Advise(fmt.Errorf("the answer is %s", resp.Status), "leave out --fail to see what the other side says")
	}
	out := c.OutOrStdout()
	if o.asJSON {
		if err := showJSON(out, resp); err != nil {
			return err
		}
		return failed
	}
	if o.include {
		fmt.Fprintf(out, "%s %s\n", resp.Proto, resp.Status)
		for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
			for _, v := range resp.Header[name] {
				fmt.Fprintf(out, "%s: %s\n", name, v)
			}
		}
		fmt.Fprintln(out)
	}
	if failed != nil {
		return failed
	}
	if o.output == "" || o.output == "-" {
		_, err := io.Copy(out, resp.Body)
		return adviseDial(err)
	}
	return o.save(c, resp)
}

// save writes the body to the file, and shows the progress on a terminal.
func (o *fetch) save(c *cobra.Command, resp *http.Response) error {
	f, err := os.Create(o.output)
	if err != nil {
		return command.Advise(err, "name a file that can be written with -o FILE")
	}
	moved := new(atomic.Int64)
	stop := follow(terminal.New(c.ErrOrStderr(), os.Getenv).Bar(o.output, resp.ContentLength), moved)
	_, err = io.Copy(io.MultiWriter(f, counting{moved}), resp.Body)
	stop()
	if err = errors.Join(err, f.Close()); err != nil {
		return command.Advise(adviseDial(err), "what is in %s is not all of it: run it again", o.output)
	}
	return nil
}

// counting counts what is written.
type counting struct{ n *atomic.Int64 }

func (c counting) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// An answerView is an answer in JSON.
type answerView struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   *string     `json:"body,omitempty"`        // if it is text
	Base64 []byte      `json:"body_base64,omitempty"` // if it is not
}

// showJSON writes an answer as one object.
func showJSON(w io.Writer, resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJSONBody+1))
	if err != nil {
		return adviseDial(err)
	}
	if len(body) > maxJSONBody {
		return command.Advise(fmt.Errorf("the body has more than %d bytes", maxJSONBody), "leave out --json, and write it to a file with -o FILE")
	}
	v := answerView{Status: resp.StatusCode, Header: resp.Header}
	if text := string(body); utf8.ValidString(text) {
		v.Body = &text
	} else {
		v.Base64 = body
	}
	return encode(w, v)
}
