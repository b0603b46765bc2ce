package env

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ollama/ollama/api"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// Client speaks to one Ollama server. Make one with [NewClient].
type Client struct {
	// Timeout is the longest wait for one reply; 0 is no limit. Set it before the first request.
	Timeout time.Duration
	// RetryWait is the wait before the second try, doubled each time; 0: 500ms. Set it before the first request.
	RetryWait time.Duration

	base *url.URL
	http *http.Client
	api  *api.Client
}

// NewClient makes a client for a host as OLLAMA_HOST has it: "host:port", or a URL.
func NewClient(host string) (*Client, error) {
	if !strings.Contains(host, "://") {
		host = "http://" + host
	}
	u, err := url.Parse(host)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("ollama.host %q is not a host:port or a URL", host)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "11434")
	}
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	return &Client{base: u, http: hc, api: api.NewClient(u, hc)}, nil
}

// Host is the server's address.
func (c *Client) Host() string { return c.base.Host }

// Version asks the server which one it is. A server that is not a patched ollama is an error that says so.
func (c *Client) Version(ctx context.Context) (wire.ServerVersion, error) {
	var v struct {
		Version string              `json:"version"`
		Proxy   *wire.ServerVersion `json:"proxy_rlhf"`
	}
	if err := c.get(ctx, "/api/version", &v); err != nil {
		return wire.ServerVersion{}, err
	}
	if v.Proxy == nil {
		return wire.ServerVersion{}, fmt.Errorf("the server at %s (Ollama %s) has no proxies", c.Host(), v.Version)
	}
	return *v.Proxy, nil
}

func (c *Client) get(ctx context.Context, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath(path).String(), nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no Ollama answers at %s: %w", c.Host(), err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(out); err != nil {
		return fmt.Errorf("%s%s: this is not an Ollama server: %w", c.Host(), path, err)
	}
	return nil
}

// Has reports whether the server has a model.
func (c *Client) Has(ctx context.Context, model string) (bool, error) {
	_, err := c.api.Show(ctx, &api.ShowRequest{Model: model})
	var status api.StatusError
	if errors.As(err, &status) && status.StatusCode == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// Create makes a model: from another (from) or a GGUF file's digest (file), with a proxy's digest (adapter) or without.
func (c *Client) Create(ctx context.Context, model, from, file, adapter string) error {
	req := &api.CreateRequest{Model: model, From: from}
	if file != "" {
		req.Files = map[string]string{"model.gguf": file}
	}
	if adapter != "" {
		req.Adapters = map[string]string{"proxy.gguf": adapter}
	}
	if err := c.api.Create(ctx, req, func(api.ProgressResponse) error { return nil }); err != nil {
		return fmt.Errorf("create model %s: %w", model, err)
	}
	return nil
}

// Pull gets a model from Ollama's library.
func (c *Client) Pull(ctx context.Context, model string, progress func(done, total int64)) error {
	return c.api.Pull(ctx, &api.PullRequest{Model: model}, func(p api.ProgressResponse) error {
		progress(p.Completed, p.Total)
		return nil
	})
}

// Load makes the server load a model, so that the first reply does not wait for it.
func (c *Client) Load(ctx context.Context, model string) error {
	var out struct{}
	if err := c.post(ctx, "/api/chat", map[string]any{"model": model}, &out); err != nil {
		return fmt.Errorf("load model %s: %w", model, err)
	}
	return nil
}

// PushFile implements [LLM].
func (c *Client) PushFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	digest := "sha256:" + hex.EncodeToString(h.Sum(nil))
	err = c.retry(ctx, func() error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		// Its reader must not be closed: there may be another try.
		return c.api.CreateBlob(ctx, digest, io.NopCloser(f))
	})
	if err != nil {
		return "", fmt.Errorf("push %s to %s: %w", path, c.Host(), err)
	}
	return digest, nil
}

// post sends a request and decodes the one JSON object of its answer. A status other than 200 is an [APIError].
func (c *Client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(data, &e) != nil || e.Error == "" {
			e.Error = strings.TrimSpace(string(data))
		}
		return &APIError{Status: resp.StatusCode, Message: e.Error}
	}
	return json.Unmarshal(data, out)
}

// APIError is what the server answered instead of a reply.
type APIError struct {
	Status  int
	Message string
}

func (e *APIError) Error() string { return fmt.Sprintf("%s (HTTP %d)", e.Message, e.Status) }
