package target

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Names of metrics of a Gadwall (docs/operations.md).
const (
	indexBacklog     = "gadwall_index_backlog"
	indexRows        = "gadwall_index_rows_total"
	indexBlocks      = "gadwall_index_blocks_total"
	searchExcluded   = "gadwall_search_excluded_total"
	searchCandidates = "gadwall_search_candidates_total"
	searchHits       = "gadwall_search_hits_total"
)

// Metrics are the metrics of a Gadwall at one moment, by name; those with labels are added up.
type Metrics map[string]float64

// Waiting is how many mails wait for the text index, Indexed how much it has written.
func (m Metrics) Waiting() float64 { return m[indexBacklog] }

// Indexed grows with each row and each block of the text index.
func (m Metrics) Indexed() float64 { return m[indexRows] + m[indexBlocks] }

// Searched is what searches for texts did between two looks, for each of so many calls, as values of
// a line; nil if there were none.
func Searched(before, after Metrics, calls int64) map[string]float64 {
	values, any := make(map[string]float64), false
	for name, metric := range map[string]string{"candidates-per-call": searchCandidates,
		"hits-per-call": searchHits, "excluded-per-call": searchExcluded} {
		n := after[metric] - before[metric]
		any = any || n > 0
		values[name] = n / float64(max(calls, 1))
	}
	if !any {
		return nil
	}
	return values
}

// maxMetrics bounds what is read of an answer with metrics.
const maxMetrics = 4 << 20

// HTTPMetrics reads metrics by the HTTP API of a Gadwall. token may be empty.
func HTTPMetrics(addr, token string) func(ctx context.Context) (Metrics, error) {
	client := &http.Client{Timeout: createTimeout}
	return func(ctx context.Context) (Metrics, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
		if err != nil {
			return nil, err
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("metrics: %s", response.Status)
		}
		return readMetrics(io.LimitReader(response.Body, maxMetrics))
	}
}

// readMetrics reads the text format of Prometheus.
func readMetrics(r io.Reader) (Metrics, error) {
	m := make(Metrics)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if space < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %.100q: %w", line, err)
		}
		name, _, _ := strings.Cut(line[:space], "{")
		m[name] += value
	}
	return m, lines.Err()
}
