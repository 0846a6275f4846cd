// Sets the theme before the page is drawn. Without a choice the browser's preference counts.
'use strict';
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem('gadwall-theme');
  } catch { /* storage is off */ }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
