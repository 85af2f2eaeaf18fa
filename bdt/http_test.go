package bdt_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

// An httpWorld is a client and a server of HTTP, and what the server saw.
type httpWorld struct {
	alice, bob *bdt.Stack
	client     *http.Client
	server     *http.Server
	streams    atomic.Int32 // that bob accepted
	served     chan error   // what Serve returned
}

// inHTTP runs f between two public devices, of which bob serves h.
func inHTTP(t *testing.T, h http.Handler, f func(t *testing.T, w *httpWorld)) {
	t.Helper()
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		hw := &httpWorld{served: make(chan error, 1)}
		hw.alice, hw.bob = pair(w)
		defer closeAll(t, hw.alice, hw.bob)
		hw.client = &http.Client{Transport: hw.alice.HTTPTransport()}
		hw.server = hw.bob.HTTPServer(h)
		hw.server.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				hw.streams.Add(1)
			}
		}
		l := listen(t, hw.bob, bdt.HTTPService)
		go func() { hw.served <- hw.server.Serve(l) }()
		f(t, hw)
		hw.alice.HTTPTransport().CloseIdleConnections()
		hw.server.Close()
		if err := <-hw.served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// url returns the URL of a path at bob.
func (w *httpWorld) url(path string) string { return "bdt://" + w.bob.ID().String() + path }

// get returns the body of a path at bob.
func (w *httpWorld) get(path string) (string, error) {
	resp, err := w.client.Get(w.url(path))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// The server sees who calls, under the host that the caller named.
func TestHTTPRequest(t *testing.T) {
	var seen chan *http.Request // of the bubble
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		fmt.Fprint(w, r.URL.Path)
	})
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		seen = make(chan *http.Request, 8)
		got, err := w.get("/news?x=1")
		if err != nil || got != "/news" {
			t.Fatalf("got %q, %v", got, err)
		}
		r := <-seen
		if want := w.alice.ID().String() + "/http"; r.RemoteAddr != want {
			t.Errorf("remote address %s, want %s", r.RemoteAddr, want)
		}
		if want := w.bob.ID().String(); r.Host != want {
			t.Errorf("host %q, want %q", r.Host, want)
		}
		c, ok := bdt.ConnFromContext(r.Context())
		if !ok || c.Peer().ID() != w.alice.ID() || c.Rights() != bdt.AllRights || c.Caller().Device.ID() != w.alice.ID() {
			t.Errorf("the request's stream: %v %v", c, ok)
		}
		if _, ok := bdt.ConnFromContext(context.Background()); ok {
			t.Error("a stream of no request")
		}
	})
}

// Every other thing than a URL of a device is refused with words, and the
// request's body is closed.
func TestHTTPRefusesURLs(t *testing.T) {
	inHTTP(t, http.NotFoundHandler(), func(t *testing.T, w *httpWorld) {
		id := w.bob.ID().String()
		for url, want := range map[string]string{
			"http://" + id:         `scheme "http"`,
			"https://example.org/": `scheme "https"`,
			"bdt://" + id + ":80/": "has a port",
			"bdt:///x":             "id",
			"bdt://example.org/":   "case-sensitive",
			"bdt://." + id:         "no service is named",
			"bdt://a$b." + id:      "only letters",
			"bdt://" + strings.Repeat("s", 65) + "." + id: "at most 64",
			"bdt://" + id + ".http/":                      "id",
		} {
			body := &closeCounter{Reader: strings.NewReader("x")}
			req, err := http.NewRequest("POST", url, body)
			if err != nil {
				t.Errorf("%s: %v", url, err)
				continue
			}
			_, err = w.alice.HTTPTransport().RoundTrip(req)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", url, err, want)
			}
			var op *bdt.OpError
			if !errors.As(err, &op) || op.Op != "http" {
				t.Errorf("%s: error is %#v", url, err)
			}
			if body.closed.Load() != 1 {
				t.Errorf("%s: body closed %d times", url, body.closed.Load())
			}
		}
	})
}

type closeCounter struct {
	io.Reader
	closed atomic.Int32
}

func (c *closeCounter) Close() error { c.closed.Add(1); return nil }

// A hundred requests in turn need one stream; a hundred at once no more than
// there are requests, and leave no more than the pool holds.
func TestHTTPKeepAlive(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(10 * time.Millisecond)
		fmt.Fprint(w, r.URL.Path)
	})
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		for i := range 100 {
			if got, err := w.get(fmt.Sprint("/", i)); err != nil || got != fmt.Sprint("/", i) {
				t.Fatalf("request %d: %q, %v", i, got, err)
			}
		}
		if n := w.streams.Load(); n != 1 {
			t.Errorf("100 requests in turn took %d streams", n)
		}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if got, err := w.get(fmt.Sprint("/", i)); err != nil || got != fmt.Sprint("/", i) {
					t.Errorf("request %d at once: %q, %v", i, got, err)
				}
			})
		}
		wg.Wait()
		if n := w.streams.Load(); n > 101 {
			t.Errorf("100 requests at once took %d streams", n)
		}
	})
}

// Bodies stream both ways at once, with trailers behind them.
func TestHTTPStreams(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "Lines")
		w.WriteHeader(http.StatusOK)
		lines := 0
		for sc := bufio.NewScanner(r.Body); sc.Scan(); lines++ {
			fmt.Fprintln(w, strings.ToUpper(sc.Text()))
			http.NewResponseController(w).Flush()
		}
		w.Header().Set("Lines", fmt.Sprint(lines, r.Trailer.Get("Sum")))
	})
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		pr, pw := io.Pipe()
		req, err := http.NewRequest("POST", w.url("/"), pr)
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"Sum": nil}
		go io.WriteString(pw, "first\n")
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answers := bufio.NewReader(resp.Body)
		for _, line := range []string{"first", "second", "third"} {
			if line != "first" {
				io.WriteString(pw, line+"\n")
			}
			if got, err := answers.ReadString('\n'); err != nil || got != strings.ToUpper(line)+"\n" {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		req.Trailer.Set("Sum", "!")
		pw.Close()
		if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
			t.Errorf("behind the last line: %q, %v", rest, err)
		}
		if got := resp.Trailer.Get("Lines"); got != "3 !" && got != "3!" {
			t.Errorf("trailer %q", got)
		}
	})
}

// 16 MiB up and back, unchanged.
func TestHTTPLargeBody(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	})
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		want := make([]byte, 16<<20)
		io.ReadFull(pattern(7), want)
		resp, err := w.client.Post(w.url("/"), "application/octet-stream", bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
	})
}

// A body that must be asked for is not sent before, and not at all if it is not
// wanted.
func TestHTTPContinue(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body)
	})
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		for path, want := range map[string]struct{ status, asked int }{"/yes": {200, 1}, "/no": {403, 0}} {
			asked := 0
			ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got100Continue: func() { asked++ }})
			body := &closeCounter{Reader: strings.NewReader("body")}
			req, _ := http.NewRequestWithContext(ctx, "PUT", w.url(path), body)
			req.Header.Set("Expect", "100-continue")
			resp, err := w.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != want.status || asked != want.asked {
				t.Errorf("%s: status %d, asked for the body %d times", path, resp.StatusCode, asked)
			}
		}
	})
}

// A request that is given up, before or within the answer, ends the handler's
// context and costs the session nothing.
func TestHTTPCancel(t *testing.T) {
	var ended chan string // of the bubble
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/body":
			w.Write(make([]byte, 10))
			http.NewResponseController(w).Flush()
			fallthrough
		case "/wait":
			<-r.Context().Done()
			ended <- r.URL.Path
		}
	})
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		ended = make(chan string, 2)
		for _, path := range []string{"/wait", "/body"} {
			ctx, cancel := context.WithCancel(context.Background())
			req, _ := http.NewRequestWithContext(ctx, "GET", w.url(path), nil)
			time.AfterFunc(time.Second, cancel)
			resp, err := w.client.Do(req)
			if path == "/body" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", path, err)
			}
			if got := <-ended; got != path {
				t.Errorf("the handler of %s ended", got)
			}
		}
		if _, err := w.get("/"); err != nil {
			t.Errorf("after it: %v", err)
		}
		if _, sessions, _ := w.alice.Table(); sessions != 1 {
			t.Errorf("%d sessions", sessions)
		}
	})
}

// Redirects keep to the letter of an id: to a path, and to another service.
func TestHTTPRedirect(t *testing.T) {
	h := http.NewServeMux()
	h.HandleFunc("/path", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/end", http.StatusFound) })
	h.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "bdt://Other.v2."+r.Host+"/end", http.StatusFound)
	})
	h.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.org/", http.StatusFound)
	})
	h.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "end of ", r.Host) })
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		server := w.bob.HTTPServer(h)
		l := listen(t, w.bob, "Other.v2")
		go server.Serve(l)
		defer server.Close()
		for path, host := range map[string]string{
			"/path":  w.bob.ID().String(),
			"/other": "Other.v2." + w.bob.ID().String(),
		} {
			if got, err := w.get(path); err != nil || got != "end of "+host {
				t.Errorf("%s: %q, %v", path, got, err)
			}
		}
		if _, err := w.get("/away"); err == nil || !strings.Contains(err.Error(), `scheme "http"`) {
			t.Errorf("redirected away: %v", err)
		}
	})
}

// Shutdown of the server waits for what is being answered, and refuses the rest.
func TestHTTPShutdown(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		fmt.Fprint(w, "done")
	})
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		answer := make(chan error, 1)
		go func() {
			got, err := w.get("/")
			if err == nil && got != "done" {
				err = errors.New("answer is " + got)
			}
			answer <- err
		}()
		time.Sleep(500 * time.Millisecond)
		if err := w.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("what was being answered: %v", err)
		}
		if _, err := w.get("/"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("after Shutdown: %v", err)
		}
	})
}

// A caller that is denied sees ErrDenied, as for a service that there is not,
// however far the request had come.
func TestHTTPDenied(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		l, err := bob.Listen(bdt.HTTPService, bdt.Nobody)
		if err != nil {
			t.Fatal(err)
		}
		go http.Serve(l, http.NotFoundHandler())
		client := &http.Client{Transport: alice.HTTPTransport()}
		var texts []string
		for _, host := range []string{"", "nothing."} {
			for _, body := range []io.Reader{nil, bytes.NewReader(make([]byte, 8<<20))} {
				req, _ := http.NewRequest("POST", "bdt://"+host+bob.ID().String()+"/", body)
				_, err := client.Do(req)
				if !errors.Is(err, bdt.ErrDenied) {
					t.Errorf("%q: %v", host, err)
				}
				if body == nil {
					texts = append(texts, strings.ReplaceAll(err.Error(), "nothing.", ""))
				}
			}
		}
		if texts[0] != texts[1] {
			t.Errorf("denied and absent differ:\n%s\n%s", texts[0], texts[1])
		}
	})
}

// What is under way when a stack closes fails with words; nothing hangs, and
// nothing is left.
func TestHTTPStackCloses(t *testing.T) {
	for _, closes := range []string{"client", "server"} {
		t.Run(closes, func(t *testing.T) {
			var entered chan bool // of the bubble
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/wait" {
					entered <- true
					<-r.Context().Done()
				}
			})
			inHTTP(t, h, func(t *testing.T, w *httpWorld) {
				entered = make(chan bool, 1)
				w.get("/") // leaves an idle stream
				failed := make(chan error, 1)
				go func() {
					_, err := w.client.Post(w.url("/wait"), "", nil) // not tried again
					failed <- err
				}()
				<-entered
				want := bdt.ErrClosed
				if closes == "client" {
					w.alice.Close()
				} else {
					w.bob.Close()
					w.server.Close()
					want = bdt.ErrPeerClosed
				}
				if err := <-failed; !errors.Is(err, want) {
					t.Errorf("under way: %v, want %v", err, want)
				}
				synctest.Wait()
				if closes == "client" {
					if _, err := w.get("/"); !errors.Is(err, bdt.ErrClosed) {
						t.Errorf("after Close: %v", err)
					}
				}
			})
		})
	}
}

// One client for the web and for devices.
func TestHTTPRegistered(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	inHTTP(t, h, func(t *testing.T, w *httpWorld) {
		var web http.Transport
		web.RegisterProtocol("bdt", w.alice.HTTPTransport())
		w.client = &http.Client{Transport: &web}
		if got, err := w.get("/"); err != nil || got != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
