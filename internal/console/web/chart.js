// Charts of figures over the last minutes, as SVG. Beside the picture a text tells the same, and the
// arrow keys read it sample by sample.

import { h, svg, replace } from './dom.js';
import { clock } from './format.js';

const height = 132;
const margin = { top: 8, right: 58, bottom: 20, left: 6 };
const spanMinutes = 15;

// ceiling is the next round number for the axis.
function ceiling(value, binary) {
  if (value <= 0) return 1;
  const base = binary ? 1024 ** Math.floor(Math.log(value) / Math.log(1024)) : 10 ** Math.floor(Math.log10(value));
  const steps = binary ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10];
  return base * steps.find((step) => step * base >= value * 0.999);
}

// A Chart shows some series of samples: {key, name}.
export class Chart {
  constructor({ title, series, format, unit = '', binary = false, least = 1 }) {
    Object.assign(this, { title, series, format, unit, binary, least });
    this.samples = [];
    this.chosen = -1;
    this.value = h('span', { class: 'chart-value' }, '–');
    this.readout = h('p', { class: 'chart-readout', 'aria-live': 'polite' });
    this.picture = svg('svg', {
      class: 'chart', role: 'img', tabindex: '0', height, 'aria-label': title,
      onmousemove: (event) => this.point(event.offsetX),
      onmouseleave: () => this.choose(-1),
      onblur: () => this.choose(-1),
      onkeydown: (event) => this.key(event),
    });
    this.element = h('figure', { class: 'chart-box' },
      h('figcaption', null, h('span', { class: 'chart-title' }, title), this.value),
      this.picture, h('div', { class: 'chart-foot' },
        series.length > 1 ? h('ul', { class: 'legend' }, series.map((s, i) => h('li', { class: `series-${i}` }, s.name))) : null,
        this.readout));
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.picture);
  }

  end() { this.sizes.disconnect(); }

  update(samples) {
    this.samples = samples;
    this.draw();
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.samples.length) return;
    event.preventDefault();
    const last = this.samples.length - 1;
    const from = this.chosen < 0 ? last + (step < 0 ? 1 : 0) : this.chosen;
    this.choose(Math.min(last, Math.max(0, from + step)));
  }

  point(x) {
    let best = -1;
    let least = Infinity;
    this.samples.forEach((sample, i) => {
      const distance = Math.abs(this.x(sample) - x);
      if (distance < least) [best, least] = [i, distance];
    });
    this.choose(best);
  }

  choose(i) {
    this.chosen = i;
    this.draw();
  }

  x(sample) {
    const share = 1 - (this.end_ - Date.parse(sample.at)) / (spanMinutes * 60000);
    return margin.left + share * (this.width - margin.left - margin.right);
  }

  // text tells the figures of a sample.
  text(sample) {
    return this.series.map((s) => `${this.series.length > 1 ? `${s.name} ` : ''}${this.format(sample[s.key])}`).join(', ') + this.unit;
  }

  draw() {
    const { samples, series } = this;
    this.width = this.picture.clientWidth || 320;
    this.picture.setAttribute('viewBox', `0 0 ${this.width} ${height}`);
    const bottom = height - margin.bottom;
    const right = this.width - margin.right;
    this.end_ = samples.length ? Date.parse(samples[samples.length - 1].at) : Date.now();
    const all = samples.flatMap((sample) => series.map((s) => sample[s.key]));
    const top = Math.max(this.least, ceiling(Math.max(0, ...all), this.binary));
    const y = (value) => bottom - (value / top) * (bottom - margin.top);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = Math.round(y(share * top)) + 0.5;
      parts.push(svg('line', { class: share ? 'grid' : 'axis', x1: margin.left, x2: right, y1: at, y2: at }),
        svg('text', { class: 'tick', x: right + 6, y: at + 4 }, this.format(share * top).replace(/\.0+(?= |$)/, '')));
    }
    for (let minutes = 0; minutes <= spanMinutes; minutes += 5) {
      const at = right - (minutes / spanMinutes) * (right - margin.left);
      parts.push(svg('text', { class: 'tick', x: at, y: height - 5, 'text-anchor': minutes === spanMinutes ? 'start' : minutes ? 'middle' : 'end' },
        minutes ? `−${minutes} min` : 'now'));
    }
    series.forEach((s, i) => {
      const points = samples.map((sample) => `${this.x(sample).toFixed(1)},${y(sample[s.key]).toFixed(1)}`);
      if (points.length > 1) {
        const first = this.x(samples[0]).toFixed(1);
        const last = this.x(samples[samples.length - 1]).toFixed(1);
        parts.push(svg('polygon', { class: `area series-${i}`, points: `${first},${bottom} ${points.join(' ')} ${last},${bottom}` }),
          svg('polyline', { class: `line series-${i}`, points: points.join(' ') }));
      }
    });
    const sample = samples[this.chosen];
    if (sample) {
      const at = this.x(sample).toFixed(1);
      parts.push(svg('line', { class: 'cursor', x1: at, x2: at, y1: margin.top, y2: bottom }));
      series.forEach((s, i) => parts.push(svg('circle', { class: `dot series-${i}`, cx: at, cy: y(sample[s.key]).toFixed(1), r: 3 })));
    }
    const last = samples[samples.length - 1];
    this.value.textContent = last ? this.text(last) : '–';
    this.readout.textContent = sample ? `${clock(sample.at)}: ${this.text(sample)}` : '';
    if (last) {
      const sums = series.map((s) => {
        const values = samples.map((one) => one[s.key]);
        return `${s.name}: now ${this.format(last[s.key])}, least ${this.format(Math.min(...values))}, most ${this.format(Math.max(...values))}`;
      });
      this.picture.setAttribute('aria-label', `${this.title}${this.unit ? `, ${this.unit.trim()}` : ''}, in the last 15 minutes. ${sums.join('. ')}.`);
    }
    replace(this.picture, parts);
  }
}
