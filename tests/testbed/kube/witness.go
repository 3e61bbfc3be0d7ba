package main

// witness stands between a client and an API server and writes a line of JSON
// for each request: what was asked, in which form, and what came back. The
// client's credentials must be ones that pass through it: tokens, not
// certificates; what it writes leaves them out.

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

type passage struct {
	Proto    string      `json:"proto"`
	Method   string      `json:"method"`
	Path     string      `json:"path"`
	Query    string      `json:"query"`
	Header   http.Header `json:"header"`
	Sent     int64       `json:"sent"` // bytes of the request's content
	Begins   []byte      `json:"begins"`
	Status   int         `json:"status"`
	Answer   http.Header `json:"answer"`
	Received int64       `json:"received"`
	Opens    []byte      `json:"opens"`
	Upstream string      `json:"upstream"` // the protocol towards the server
	Millis   int64       `json:"millis"`
}

const kept = 64 // bytes of each content that are written down

type counter struct {
	io.ReadCloser
	count *int64
	first *[]byte
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	*c.count += int64(n)
	if room := kept - len(*c.first); room > 0 {
		*c.first = append(*c.first, p[:min(n, room)]...)
	}
	return n, err
}

func witness(args []string) error {
	fs := flag.NewFlagSet("witness", flag.ExitOnError)
	to := fs.String("to", "", "the server's address: https://127.0.0.1:PORT")
	pki := fs.String("pki", "", "the testbed's folder of certificates")
	log := fs.String("log", "", "where the lines go")
	listen := fs.String("listen", "127.0.0.1:0", "our own address; printed once it is open")
	_ = fs.Parse(args)
	target, err := url.Parse(*to)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(*pki + "/ca.crt")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(*pki+"/apiserver.crt", *pki+"/apiserver.key")
	if err != nil {
		return err
	}
	file, err := os.OpenFile(*log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	plain := &http.Transport{ForceAttemptHTTP2: true, DisableCompression: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
	upgraded := &http.Transport{DisableCompression: true, TLSClientConfig: &tls.Config{RootCAs: pool},
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}} // HTTP/2 knows no Upgrade
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host },
		FlushInterval: -1,
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &passage{Proto: r.Proto, Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header.Clone()}
		if seen.Header.Get("Authorization") != "" {
			seen.Header.Set("Authorization", "...")
		}
		r.Body = counter{r.Body, &seen.Sent, &seen.Begins}
		one := *proxy
		one.Transport = plain
		if r.Header.Get("Upgrade") != "" {
			one.Transport = upgraded
		}
		one.ModifyResponse = func(answer *http.Response) error {
			seen.Status, seen.Answer, seen.Upstream = answer.StatusCode, answer.Header.Clone(), answer.Proto
			if answer.StatusCode != http.StatusSwitchingProtocols {
				answer.Body = counter{answer.Body, &seen.Received, &seen.Opens}
			}
			return nil
		}
		defer func() {
			seen.Millis = time.Since(began).Milliseconds()
			mu.Lock()
			defer mu.Unlock()
			_ = json.NewEncoder(file).Encode(seen)
		}()
		one.ServeHTTP(w, r)
	})
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Printf("https://%s\n", listener.Addr())
	server := &http.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}
	return server.ServeTLS(listener, "", "")
}
