// Elements. Texts go in as text nodes: nothing that a mail or a user says becomes markup.

const svgNamespace = 'http://www.w3.org/2000/svg';

// fill gives an element its attributes and children. Attributes that begin with "on" are listeners.
// Children are nodes, texts, or lists of them; null and false are left out.
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'disabled' || name === 'hidden') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(svgNamespace, tag), attributes, children);
}

// replace gives an element other children.
export function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

// marked returns nodes of a text of the search, in which hits stand in <mark> and all else is escaped.
export function marked(text) {
  const unescaped = (s) => s.replace(/&(lt|gt|amp|quot|#34|#39);/g,
    (_, name) => ({ lt: '<', gt: '>', amp: '&', quot: '"', '#34': '"', '#39': "'" })[name]);
  return text.split(/(<mark>.*?<\/mark>)/s).map((piece) => (piece.startsWith('<mark>')
    ? h('mark', null, unescaped(piece.slice(6, -7))) : unescaped(piece)));
}

// mailPolicy is the only way from text to markup. What it makes is shown in a frame with an empty
// sandbox alone.
const mailPolicy = globalThis.trustedTypes
  ? trustedTypes.createPolicy('gadwall-mail', { createHTML: (html) => html })
  : { createHTML: (html) => html };

// mailFrame returns a frame that shows HTML which the server has made safe. The sandbox is empty: no
// scripts, no forms, no links that open something. Its policy loads nothing. images are data addresses
// of the message's own images, by their content ids; in the place of others stands what they say.
export function mailFrame(html, images) {
  const policy = "default-src 'none'; img-src data:; style-src 'none'";
  // The sanitizer quotes all values, and escapes > and " within them.
  const shown = html.replace(/ style="[^"]*"/g, '').replace(/<img\b([^>]*)>/g, (tag, inner) => {
    const [, id] = / src="cid:([^"]*)"/.exec(inner) || [];
    const image = images.get(id);
    if (image) return tag.replace(` src="cid:${id}"`, () => ` src="${image}"`);
    const [, alt] = / alt="([^"]*)"/.exec(inner) || [];
    return alt ? `[${alt}]` : '';
  });
  const frame = h('iframe', { class: 'mail', sandbox: '', title: 'The message, as HTML', referrerpolicy: 'no-referrer' });
  frame.srcdoc = mailPolicy.createHTML('<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Message</title>'
    + `<meta http-equiv="Content-Security-Policy" content="${policy}"></head><body>${shown}</body></html>`);
  return frame;
}
