package daemon

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// A Client is a device that another process of this user runs.
type Client struct {
	id   identity.ID
	path string // of the socket
	http http.Client
}

// maxAnswer bounds the bytes of an answer: 10,000 peers take about 4 MB.
const maxAnswer = 64 << 20

// Connect returns the device with an id, if another process runs it; else the error
// is [ErrNotRunning].
func Connect(ctx context.Context, id identity.ID) (*Client, error) {
	for i, p := range places(id) {
		if i > 0 && checkDirectory(p.dir) != nil {
			continue // as in checkFree
		}
		c, err := connect(ctx, p.socket())
		if errors.Is(err, ErrNotRunning) {
			continue
		}
		if err == nil && c.id != id {
			c.Close()
			return nil, fmt.Errorf("%s belongs to another device, %s", p.socket(), c.id)
		}
		return c, err
	}
	return nil, ErrNotRunning
}

// Running returns the devices that processes of this user run now. The caller
// closes them. Those of other versions are left out.
func Running(ctx context.Context) []*Client {
	var list []*Client
	for _, dir := range directories() {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), socketSuffix) || len(list) == maxRunning {
				continue
			}
			if c, err := connect(ctx, place{dir, strings.TrimSuffix(e.Name(), socketSuffix)}.socket()); err == nil {
				list = append(list, c)
			}
		}
	}
	return list
}

// maxRunning bounds the devices that Running returns.
const maxRunning = 64

// connect returns the device behind a socket, after a look at who that is.
func connect(ctx context.Context, path string) (*Client, error) {
	if _, err := os.Lstat(path); err != nil {
		return nil, ErrNotRunning
	}
	if err := checkDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dialSocket(ctx) },
		DisableCompression: true,
		MaxIdleConns:       4,
		IdleConnTimeout:    30 * time.Second,
	}
	status, err := c.Status(ctx)
	if err != nil {
		c.Close()
		return nil, err
	}
	c.id = status.ID
	return c, nil
}

// dialSocket connects to the process.
func (c *Client) dialSocket(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil && ctx.Err() == nil {
		return nil, ErrNotRunning // refused: left by a process that was killed
	}
	return conn, err
}

// ID implements [Device].
func (c *Client) ID() identity.ID { return c.id }

// Close lets go of the device, which goes on.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// request makes a request.
func request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	u := "http://bdt/v1/" + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, u, body)
	if err == nil {
		r.Header.Set(headerVersion, strconv.Itoa(protocolVersion))
	}
	return r, err
}

// ask makes a request and decodes the JSON of the answer into v.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body string, v any) error {
	return c.do(ctx, method, path, query, body, func(r io.Reader) error { return json.NewDecoder(r).Decode(v) })
}

// do makes a request and has the answer decoded.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body string, decode func(io.Reader) error) error {
	r, err := request(ctx, method, path, query, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return gone(ctx, err)
	}
	defer resp.Body.Close()
	if err := check(resp, http.StatusOK); err != nil {
		return err
	}
	if err := decode(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return gone(ctx, fmt.Errorf("answer of the running process: %w", err))
	}
	return nil
}

// check reports an answer that is not the one wanted: another version's, or an error.
func check(resp *http.Response, want int) error {
	if got := resp.Header.Get(headerVersion); got != strconv.Itoa(protocolVersion) {
		return fmt.Errorf("%w: it speaks version %.20q of the local protocol, this one %d", ErrVersion, got, protocolVersion)
	}
	if resp.StatusCode == want {
		return nil
	}
	var w wireError
	if err := json.NewDecoder(io.LimitReader(resp.Body, 2*maxFrame)).Decode(&w); err != nil {
		return fmt.Errorf("the running process answered with status %s", resp.Status)
	}
	return w.err()
}

// gone is err of a connection to the process, or why there is none.
func gone(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrNotRunning):
		return ErrNotRunning
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrGone
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return ErrGone
	}
	return err
}

// Learn implements [Device].
func (c *Client) Learn(ctx context.Context, t identity.Ticket) error {
	return c.ask(ctx, "POST", "learn", nil, t.String(), new(struct{}))
}

// Ping implements [Device].
func (c *Client) Ping(ctx context.Context, id identity.ID) (time.Duration, error) {
	var rtt time.Duration
	err := c.ask(ctx, "POST", "ping", url.Values{"id": {id.String()}}, "", &rtt)
	return rtt, err
}

// Status implements [Device].
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return get[Status](ctx, c, "status", nil)
}

// Peers implements [Device].
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	list, err := get[[]Peer](ctx, c, "peers", nil)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Explain implements [Device].
func (c *Client) Explain(ctx context.Context, id identity.ID) (*Explanation, error) {
	return get[Explanation](ctx, c, "explain", url.Values{"id": {id.String()}})
}

// NetCheck implements [Device].
func (c *Client) NetCheck(ctx context.Context) (*bdt.NetReport, error) {
	report := new(bdt.NetReport)
	err := c.do(ctx, "POST", "netcheck", nil, "", func(r io.Reader) error { return gob.NewDecoder(r).Decode(report) })
	if err != nil {
		return nil, err
	}
	return report, nil
}

// get asks for a T.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	v := new(T)
	if err := c.ask(ctx, "GET", path, query, "", v); err != nil {
		return nil, err
	}
	return v, nil
}

// Dial implements [Device].
func (c *Client) Dial(ctx context.Context, id identity.ID, service string) (Stream, error) {
	return c.stream(ctx, "dial", url.Values{"id": {id.String()}, "service": {service}}, service)
}

// stream has the process hand over a stream.
func (c *Client) stream(ctx context.Context, path string, query url.Values, service string) (Stream, error) {
	conn, resp, frames, err := c.upgrade(ctx, path, query, upgradeStream)
	if err != nil {
		return nil, err
	}
	peer, err := identity.ParseID(resp.Header.Get(headerPeer))
	rights, err2 := strconv.ParseUint(resp.Header.Get(headerRights), 10, 8)
	if err := errors.Join(err, err2); err != nil {
		conn.Close()
		return nil, fmt.Errorf("answer of the running process: %w", err)
	}
	return &remoteStream{
		conn:   conn,
		frames: newFrameReader(frames),
		local:  bdt.Addr{ID: c.id, Service: service},
		remote: bdt.Addr{ID: peer, Service: service},
		rights: bdt.Rights(rights),
	}, nil
}

// upgrade makes a request that becomes a connection of its own.
func (c *Client) upgrade(ctx context.Context, path string, query url.Values, protocol string) (net.Conn, *http.Response, io.Reader, error) {
	r, err := request(ctx, "POST", path, query, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", protocol)
	conn, err := c.dialSocket(ctx)
	if err != nil {
		return nil, nil, nil, gone(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	buffered := bufio.NewReader(conn)
	err = r.Write(conn)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(buffered, r)
	}
	if err == nil {
		err = check(resp, http.StatusSwitchingProtocols)
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, nil, nil, gone(ctx, err)
	}
	return conn, resp, buffered, nil
}

// Listen implements [Device].
func (c *Client) Listen(ctx context.Context, service, who string) (Listener, error) {
	conn, resp, _, err := c.upgrade(ctx, "listen", url.Values{"service": {service}, "who": {who}}, upgradeListener)
	if err != nil {
		return nil, err
	}
	l := &remoteListener{client: c, service: service, number: resp.Header.Get("Bdt-Listener"), conn: conn}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.watch.Go(func() {
		io.Copy(io.Discard, conn)
		l.cancel(ErrGone) // or closed by Close, which said so before
	})
	return l, nil
}

// A remoteListener is a listener of the device that another process runs. Its
// connection keeps it open.
type remoteListener struct {
	client  *Client
	service string
	number  string
	conn    net.Conn
	ctx     context.Context // ends with the connection
	cancel  context.CancelCauseFunc
	watch   sync.WaitGroup
}

// Accept implements [Listener].
func (l *remoteListener) Accept(ctx context.Context) (Stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })
	defer stop()
	s, err := l.client.stream(ctx, "accept", url.Values{"listener": {l.number}}, l.service)
	if err != nil && l.ctx.Err() != nil {
		err = context.Cause(l.ctx)
	}
	if err != nil {
		return nil, &bdt.OpError{Op: "accept", Err: err}
	}
	return s, nil
}

// Close implements [Listener].
func (l *remoteListener) Close() error {
	l.cancel(bdt.ErrClosed)
	err := l.conn.Close()
	l.watch.Wait()
	return err
}
