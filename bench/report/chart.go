package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// chart is a diagram of lines.
type chart struct {
	Title  string
	X, Y   axis
	Series []series
	Plain  bool // without a mark at each point
}

type axis struct {
	Name string
	Log  bool
	// Percentile writes 10 as 90 %, 100 as 99 %, ...
	Percentile bool
}

type series struct {
	Name   string
	Points []point
}

// point has the least and the greatest of its repeats, if there are any.
type point struct{ X, Y, Low, High float64 }

// The layout, in units of the view box.
const (
	chartWidth   = 640.0
	plotLeft     = 70.0
	plotRight    = 625.0
	plotTop      = 34.0
	plotHeight   = 250.0
	plotBottom   = plotTop + plotHeight
	legendTop    = plotBottom + 52
	legendLine   = 20.0
	legendBottom = 6.0
	// maxLegend is how many characters of a name fit beside the mark.
	maxLegend = 85
	// leastTick is how far apart two measured figures are that the axis names.
	leastTick = 60.0
)

// shown reports that the point has a place on both axes.
func (c *chart) shown(p point) bool {
	fits := func(x float64, a axis) bool { return finite(x) && math.Abs(x) < 1e300 && (!a.Log || x > 1e-300) }
	return fits(p.X, c.X) && fits(p.Y, c.Y)
}

// shows reports that there is something to see of the series.
func (c *chart) shows(s series) bool {
	for _, p := range s.Points {
		if c.shown(p) {
			return true
		}
	}
	return false
}

// scale maps figures to places.
type scale struct {
	axis
	low, high float64 // of figures, or of their logarithms
	from, to  float64 // of places
}

func (s scale) at(x float64) float64 {
	if s.Log {
		x = math.Log10(x)
	}
	return s.from + (s.to-s.from)*(min(max((x-s.low)/(s.high-s.low), 0), 1))
}

func newScale(a axis, values []float64, from, to float64) scale {
	s := scale{axis: a, low: math.Inf(1), high: math.Inf(-1), from: from, to: to}
	for _, v := range values {
		if a.Log {
			v = math.Log10(v)
		}
		s.low, s.high = min(s.low, v), max(s.high, v)
	}
	switch {
	case a.Log && !a.Percentile:
		// A little room, and never less than half a decade: noise must not look like a cliff.
		room := max(0.03*(s.high-s.low), (0.5-(s.high-s.low))/2)
		s.low, s.high = s.low-room, s.high+room
	case !a.Log:
		s.low, s.high = min(s.low, 0), s.high*1.05
	}
	if s.high <= s.low {
		s.high = s.low + 1
	}
	return s
}

// ticks returns the figures that the axis names: some eight at most.
func (s scale) ticks() []float64 {
	var list []float64
	if !s.Log {
		step := niceStep((s.high - s.low) / 5)
		for i := math.Ceil(s.low / step); i*step <= s.high && len(list) < 12; i++ {
			list = append(list, i*step)
		}
		return list
	}
	mantissas := []float64{1}
	switch span := s.high - s.low; {
	case s.Percentile:
		list = append(list, 2, 4)
	case span < 1.2:
		mantissas = []float64{1, 1.5, 2, 3, 4, 5, 7}
	case span < 3:
		mantissas = []float64{1, 2, 5}
	}
	every := math.Ceil((s.high - s.low) / 8)
	for decade := math.Floor(s.low); decade <= s.high; decade += every {
		for _, m := range mantissas {
			list = append(list, m*math.Pow(10, decade))
		}
	}
	inside := list[:0]
	for _, v := range list {
		if l := math.Log10(v); l >= s.low-1e-9 && l <= s.high+1e-9 {
			inside = append(inside, v)
		}
	}
	return inside
}

// niceStep returns 1, 2 or 5 times a power of ten, not below x.
func niceStep(x float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if m*unit >= x {
			return m * unit
		}
	}
	return 10 * unit
}

func (s scale) label(v float64) string {
	if s.Percentile {
		return fmt.Sprintf("%.7g", 100-100/v)
	}
	return number(v)
}

// svg draws the chart. Colours and dashes are those of the page's style: series n has class sn.
func (c *chart) svg() string {
	var xs, ys []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			if !c.shown(p) {
				continue
			}
			xs, ys = append(xs, p.X), append(ys, p.Y)
			if c.bar(p) {
				ys = append(ys, p.Low, p.High)
			}
		}
	}
	if len(xs) == 0 {
		return ""
	}
	x, y := newScale(c.X, xs, plotLeft, plotRight), newScale(c.Y, ys, plotBottom, plotTop)
	var b strings.Builder
	height := legendTop + legendLine*float64(len(c.Series)) + legendBottom
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img" aria-label="%s">`+"\n",
		chartWidth, height, html.EscapeString(c.Title))
	text(&b, "title", 8, 18, "start", c.Title)
	c.drawAxes(&b, x, y)
	for i, s := range c.Series {
		c.drawSeries(&b, i, s, x, y)
		at := legendTop + legendLine*float64(i)
		fmt.Fprintf(&b, `<path class="line s%d" d="M%g %gh36"/>`+"\n", i, plotLeft, at)
		mark(&b, i, plotLeft+18, at)
		name := []rune(s.Name)
		if len(name) > maxLegend {
			name = append(name[:maxLegend-1], '…')
		}
		text(&b, "legend", plotLeft+46, at+4, "start", string(name))
	}
	b.WriteString("</svg>")
	return b.String()
}

// bar reports that the point has repeats that differ and can be drawn.
func (c *chart) bar(p point) bool {
	return p.High > p.Low && c.shown(point{X: p.X, Y: p.Low}) && c.shown(point{X: p.X, Y: p.High})
}

func (c *chart) drawAxes(b *strings.Builder, x, y scale) {
	for _, v := range y.ticks() {
		at := y.at(v)
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fH%.1f"/>`+"\n", plotLeft, at, plotRight)
		text(b, "tick", plotLeft-6, at+4, "end", y.label(v))
	}
	for _, v := range c.xTicks(x) {
		at := x.at(v)
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fV%.1f"/>`+"\n", at, plotTop, plotBottom)
		text(b, "tick", at, plotBottom+16, "middle", x.label(v))
	}
	fmt.Fprintf(b, `<path class="axis" d="M%.1f %.1fV%.1fH%.1f"/>`+"\n", plotLeft, plotTop, plotBottom, plotRight)
	text(b, "name", plotRight, plotBottom+34, "end", x.Name)
	text(b, "name", plotRight, plotTop-6, "end", y.Name)
}

// xTicks returns the figures that were measured, if they are few and lie apart.
func (c *chart) xTicks(x scale) []float64 {
	var list []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			if c.shown(p) {
				list = append(list, p.X)
			}
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	for i := 1; i < len(list); i++ {
		if x.at(list[i])-x.at(list[i-1]) < leastTick {
			return x.ticks()
		}
	}
	return list
}

func (c *chart) drawSeries(b *strings.Builder, n int, s series, x, y scale) {
	var path strings.Builder
	command := 'M'
	for _, p := range s.Points {
		if !c.shown(p) {
			continue
		}
		fmt.Fprintf(&path, "%c%.1f %.1f", command, x.at(p.X), y.at(p.Y))
		command = 'L'
	}
	if path.Len() == 0 {
		return
	}
	fmt.Fprintf(b, `<path class="line s%d" d="%s"/>`+"\n", n, path.String())
	last := point{}
	for _, p := range s.Points {
		if !c.shown(p) {
			continue
		}
		last = p
		if c.bar(p) {
			fmt.Fprintf(b, `<path class="bar s%d" d="M%.1f %.1fV%.1f"/>`+"\n",
				n, x.at(p.X), y.at(p.Low), y.at(p.High))
		}
		if !c.Plain {
			mark(b, n, x.at(p.X), y.at(p.Y))
		}
	}
	if c.Plain {
		mark(b, n, x.at(last.X), y.at(last.Y))
	}
}

// mark draws the shape of a series, so that colour is not all that tells series apart.
func mark(b *strings.Builder, n int, x, y float64) {
	shapes := [...]string{
		"m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "m-4 -4h8v8h-8z", "m0 -5l5 9h-10z", "m0 -5l5 5l-5 5l-5 -5z",
	}
	fmt.Fprintf(b, `<path class="mark s%d" d="M%.1f %.1f%s"/>`+"\n", n, x, y, shapes[n%len(shapes)])
}

func text(b *strings.Builder, class string, x, y float64, anchor, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n",
		class, x, y, anchor, html.EscapeString(s))
}
