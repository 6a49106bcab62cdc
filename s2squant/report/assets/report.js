/* s2squant report: theme, charts when they come into view, tables that sort and filter. Classic script, no network. */
(function () {
  "use strict";
  var root = document.documentElement;
  var KEY = "s2squant-theme";
  var charts = [];

  /* theme: ?theme=dark in the address, then what the reader chose before, then the system's */
  function remembered() { try { return localStorage.getItem(KEY); } catch (e) { return null; } }
  function remember(theme) { try { localStorage.setItem(KEY, theme); } catch (e) { /* a locked-down viewer */ } }
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  var asked = /[?&#]theme=(light|dark)/.exec(location.search + location.hash);
  var chosen = asked ? asked[1] : remembered();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : system.matches; }

  /* colours: "@name" or "@name/opacity" stands for the CSS variable --name */
  function colour(token) {
    var found = /^@([a-z0-9-]+)(?:\/([\d.]+))?$/.exec(token);
    if (!found) return token;
    var hex = getComputedStyle(root).getPropertyValue("--" + found[1]).trim();
    if (!found[2]) return hex;
    var n = parseInt(hex.slice(1), 16);
    return "rgba(" + (n >> 16) + "," + ((n >> 8) & 255) + "," + (n & 255) + "," + found[2] + ")";
  }
  function dressed(value, key) {
    if (typeof value === "string") return /color$/.test(key) ? colour(value) : value;
    if (key === "colorscale") return value.map(function (stop) { return [stop[0], colour(stop[1])]; });
    if (Array.isArray(value)) return /^[xyz]$/.test(key) ? value : value.map(function (v) { return dressed(v, key); });
    if (value === null || typeof value !== "object") return value;
    var copy = {};
    Object.keys(value).forEach(function (k) { copy[k] = dressed(value[k], k); });
    return copy;
  }
  function merged(base, more) {
    Object.keys(more).forEach(function (k) {
      var both = base[k] && more[k] && typeof base[k] === "object" && typeof more[k] === "object" && !Array.isArray(more[k]);
      base[k] = both ? merged(base[k], more[k]) : more[k];
    });
    return base;
  }
  function axis() {
    return {
      gridcolor: "@grid", linecolor: "@rule", zerolinecolor: "@ink-2", zeroline: false, automargin: true,
      title: { standoff: 12, font: { size: 12, color: "@ink-2" } }, tickfont: { size: 12, color: "@ink-2" }
    };
  }
  function layout(spec) {
    var narrow = window.innerWidth < 700 && spec.data[0] && spec.data[0].type === "heatmap";
    return dressed(merged({
      autosize: true, showlegend: false, hovermode: "x unified", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      dragmode: window.matchMedia("(pointer: fine)").matches ? "zoom" : false,
      margin: { l: 56, r: 12, t: 10, b: 30 }, separators: ".,",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: "@ink" },
      hoverlabel: { bgcolor: "@paper", bordercolor: "@rule", font: { color: "@ink", size: 12 }, namelength: 40 },
      xaxis: axis(), yaxis: axis()
    }, merged(JSON.parse(JSON.stringify(spec.layout)), narrow ? { xaxis: { tickangle: -90, tickfont: { size: 10 } }, yaxis: { tickfont: { size: 10 }, title: { text: "" } } } : {})), "");
  }
  function draw(chart) {
    var data = dressed(chart.spec.data, "").map(function (trace) {
      if (chart.hidden[trace.legendgroup]) trace.visible = false;
      if (trace.type === "heatmap" && trace.texttemplate && window.innerWidth < 700) delete trace.texttemplate;
      return trace;
    });
    if (!chart.drawn) { chart.node.textContent = ""; chart.drawn = true; chart.node.dataset.drawn = ""; legend(chart); }
    return window.Plotly.react(chart.node, data, layout(chart.spec), { displayModeBar: false, displaylogo: false, responsive: true, showTips: false });
  }

  /* legend: buttons, so that it wraps on a phone and answers the keyboard */
  var SVG = "http://www.w3.org/2000/svg";
  var GLYPHS = { "triangle-up": "▲", "circle-open": "○", "triangle-down": "▼", circle: "●", diamond: "◆", square: "■" };
  function shape(tag, values) {
    var node = document.createElementNS(SVG, tag);
    Object.keys(values).forEach(function (k) { node.setAttribute(k, values[k]); });
    return node;
  }
  function swatch(trace) {
    var token = trace.fillcolor || (trace.marker && trace.marker.color) || (trace.line && trace.line.color) || "@ink";
    var css = "var(--" + (Array.isArray(token) ? "ink-2" : token.slice(1).split("/")[0]) + ")";
    var svg = shape("svg", { "class": "swatch", viewBox: "0 0 28 8", width: 28, height: 8, "aria-hidden": "true" });
    svg.style.color = css;
    if (trace.fillcolor) svg.appendChild(shape("rect", { width: 28, height: 10, y: -1, rx: 2, fill: "currentColor", "fill-opacity": 2 * token.split("/")[1] }));
    else if (trace.marker) {
      var text = shape("text", { x: 14, y: 8, "text-anchor": "middle", "font-size": 12, fill: "currentColor" });
      text.textContent = GLYPHS[trace.marker.symbol] || "●";
      svg.appendChild(text);
    } else svg.appendChild(shape("line", { x1: 0, x2: 28, y1: 4, y2: 4, "stroke-dasharray": (trace.line.dash || "none").replace(/px/g, "").replace("solid", "none") }));
    return svg;
  }
  function legend(chart) {
    var place = document.getElementById(chart.node.id.replace("chart-", "legend-"));
    chart.spec.data.slice().sort(function (a, b) { return (a.legendrank || 2) - (b.legendrank || 2); }).forEach(function (trace) {
      if (!place || !trace.showlegend || !trace.legendgroup) return;
      var button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.appendChild(swatch(trace));
      button.appendChild(document.createTextNode(trace.name.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&")));
      button.addEventListener("click", function () {
        chart.hidden[trace.legendgroup] = !chart.hidden[trace.legendgroup];
        button.setAttribute("aria-pressed", String(!chart.hidden[trace.legendgroup]));
        draw(chart);
      });
      place.appendChild(button);
    });
  }
  function redraw() { charts.forEach(function (chart) { if (chart.drawn) draw(chart); }); }
  function specOf(id) { return JSON.parse(document.getElementById(id).textContent); }
  function findCharts() {
    charts = [];
    document.querySelectorAll(".chart[data-figure]").forEach(function (node) {
      node.style.setProperty("--height", node.dataset.height + "px");
      if (!window.Plotly) return;
      charts.push({ node: node, spec: specOf(node.dataset.figure), hidden: {}, drawn: false });
    });
    charts.forEach(takeChart);
    if (!window.IntersectionObserver) { charts.forEach(draw); return; }
    var watch = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) return;
        watch.unobserve(entry.target);
        charts.forEach(function (chart) { if (chart.node === entry.target && !chart.drawn) draw(chart); });
      });
    }, { rootMargin: "300px" });
    charts.forEach(function (chart) { watch.observe(chart.node); });
  }

  /* numbers to take away: a table or a chart's data as CSV, a chart as PNG; a cell that would be a formula is guarded */
  function cellText(cell) {
    if (cell.dataset && cell.dataset.v !== undefined && cell.dataset.v !== "" && cell.dataset.v !== "nan" && /\bn\b/.test(cell.className)) return cell.dataset.v;
    return cell.textContent.replace(/\s+/g, " ").replace(/\u2212/g, "-").replace(/\u202f/g, " ").replace(/ [\u2195\u2191\u2193]$/, "").trim();
  }
  function quoted(value) {
    var text = String(value === null || value === undefined ? "" : value);
    if (/^[=+\-@\t\r]/.test(text) && isNaN(Number(text))) text = "'" + text;
    return /[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }
  function csv(rows) { return rows.map(function (row) { return row.map(quoted).join(","); }).join("\n") + "\n"; }
  function save(name, href) {
    var link = document.createElement("a");
    link.href = href;
    link.download = name;
    link.click();
  }
  function saveText(name, text) {
    var address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    save(name, address);
    setTimeout(function () { URL.revokeObjectURL(address); }, 10000);
  }
  function taker(label, named, act) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "take";
    button.textContent = label;
    button.setAttribute("aria-label", label + " of " + named);
    button.addEventListener("click", act);
    return button;
  }
  function takeTable(table) {
    var box = table.closest(".scroll"), named = box ? box.getAttribute("aria-label") : "table", name = (table.id || "table") + ".csv";
    var bar = document.createElement("p");
    bar.className = "takes";
    bar.appendChild(taker("CSV", named, function () {
      saveText(name, csv(Array.prototype.map.call(table.rows, function (row) {
        var cells = [];
        Array.prototype.forEach.call(row.cells, function (cell) {
          if (row.parentNode.tagName === "TBODY" && cell.className.indexOf("picture") >= 0) { cells.push(""); return; }
          cells.push(cellText(cell));
          for (var more = 1; more < cell.colSpan; more++) cells.push("");
        });
        return cells;
      })));
    }));
    (box || table).after(bar);
  }
  function takeChart(chart) {
    var id = chart.node.id.replace("chart-", ""), named = chart.node.getAttribute("aria-label"), bar = document.createElement("p");
    bar.className = "takes";
    bar.appendChild(taker("CSV", named, function () {
      var data = dataOf(chart.spec);
      saveText(id + ".csv", csv([data.head.map(text)].concat(data.rows)));
    }));
    bar.appendChild(taker("PNG", named, function () {
      Promise.resolve(draw(chart)).then(function () {
        var paper = getComputedStyle(root).getPropertyValue("--paper").trim();
        return window.Plotly.toImage({ data: chart.node.data, layout: Object.assign({}, chart.node.layout, { paper_bgcolor: paper }) }, { format: "png", width: 1200, height: 2 * chart.node.clientHeight, scale: 1 });
      }).then(function (address) { save(id + ".png", address); });
    }));
    chart.node.parentNode.appendChild(bar);
  }

  /* the data of a chart as a table, made when it is asked for */
  function text(value) { return String(value).replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&").replace(/^-(?=\d)/, "−"); }
  function dataOf(spec) {
    var first = spec.data[0], title = function (name) { var a = (spec.layout || {})[name]; return (a && a.title && a.title.text) || ""; };
    if (first.type === "heatmap") {
      return { head: [title("yaxis") || title("xaxis") || " "].concat(first.x), rows: first.y.map(function (y, i) { return [y].concat(first.z[i]); }) };
    }
    var lines = spec.data.filter(function (t) { return t.x && t.fill !== "toself"; });
    var down = lines.length && typeof lines[0].y[0] === "string", keys = [], place = {};
    lines.forEach(function (t) {
      (down ? t.y : t.x).forEach(function (k) { if (!(k in place)) { place[k] = keys.length; keys.push(k); } });
    });
    if (!down) keys.sort(function (a, b) { return typeof a === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }); });
    var rows = keys.map(function (k, i) { place[k] = i; return [k].concat(lines.map(function () { return null; })); });
    lines.forEach(function (t, column) {
      (down ? t.y : t.x).forEach(function (k, i) { var v = (down ? t.x : t.y)[i]; if (v !== null) rows[place[k]][column + 1] = v; });
    });
    return { head: [title(down ? "yaxis" : "xaxis") || (down ? "Name" : "Date")].concat(lines.map(function (t) { return t.name || ""; })), rows: rows };
  }
  function element(tag, inside, scope) {
    var node = document.createElement(tag);
    if (scope) node.setAttribute("scope", scope);
    if (inside !== undefined) node.textContent = inside;
    return node;
  }
  function dataTable(details) {
    details.hidden = false;
    details.addEventListener("toggle", function () {
      if (!details.open || details.querySelector("table")) return;
      var data = dataOf(specOf(details.dataset.of)), table = element("table"), box = element("div"), row = element("tr");
      table.className = "small";
      var named = details.parentNode.querySelector(".chart").getAttribute("aria-label");
      table.appendChild(element("caption")).appendChild(element("span", named));
      data.head.forEach(function (h, i) { var th = element("th", text(h), "col"); if (i) th.className = "n"; row.appendChild(th); });
      table.appendChild(element("thead")).appendChild(row);
      var body = table.appendChild(element("tbody"));
      data.rows.forEach(function (values) {
        var line = body.appendChild(element("tr"));
        values.forEach(function (v, i) {
          var cell = line.appendChild(element(i ? "td" : "th", v === null ? "–" : text(v), i ? "" : "row"));
          if (i) cell.className = "n";
        });
      });
      box.className = "scroll tall";
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "Data: " + named);
      box.appendChild(table);
      details.appendChild(box);
      widths();
    });
  }

  function themeButton() {
    var button = document.getElementById("theme");
    function name() { button.textContent = isDark() ? "Light theme" : "Dark theme"; }
    button.hidden = false;
    name();
    button.addEventListener("click", function () {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember(root.dataset.theme);
      name();
      redraw();
    });
    system.addEventListener("change", function () { name(); redraw(); });
  }

  /* a table that is wider than its place says so */
  function widths() {
    document.querySelectorAll(".scroll, .toc ul, .cards").forEach(function (box) { box.classList.toggle("cut", box.scrollWidth > box.clientWidth + 1); });
  }
  window.addEventListener("resize", widths);
  document.addEventListener("toggle", widths, true);

  /* tables */
  function cell(row, column) {
    var node = row.cells[column], value = node.dataset.v;
    if (value === undefined) return node.textContent.trim().toLowerCase();
    value = parseFloat(value);
    return isNaN(value) ? null : value;
  }
  function sortable(table) {
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
      if ("still" in head.dataset) return;
      var button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending";
        Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var body = table.tBodies[0];
        Array.prototype.slice.call(body.rows).sort(function (a, b) {
          var x = cell(a, column), y = cell(b, column);
          if (x === null || y === null) return (x === null) - (y === null);
          var order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
          return down ? -order : order;
        }).forEach(function (row) { body.appendChild(row); });
      });
    });
  }
  function filterable(bar) {
    var table = document.getElementById(bar.dataset["for"]), find = bar.querySelector("input"), word = bar.querySelector("select");
    var rows = Array.prototype.slice.call(table.tBodies[0].rows), count = bar.querySelector("output");
    function apply() {
      var text = find.value.trim().toLowerCase(), shown = 0;
      rows.forEach(function (row) {
        var named = (row.cells[0].textContent + " " + row.cells[1].textContent).toLowerCase();
        row.hidden = named.indexOf(text) < 0 || (word.value !== "" && row.dataset.word !== word.value);
        if (!row.hidden) shown += 1;
      });
      count.textContent = shown + " of " + rows.length;
    }
    bar.hidden = false;
    find.addEventListener("input", apply);
    word.addEventListener("change", apply);
    apply();
  }
  function cardsOf(bar) {
    var box = document.getElementById(bar.dataset.cards), find = bar.querySelector("input"), order = bar.querySelector("select");
    var all = Array.prototype.slice.call(box.children), count = bar.querySelector("output");
    function value(card) { var v = parseFloat(card.dataset[order.value]); return isNaN(v) ? -Infinity : v; }
    function apply() {
      var text = find.value.trim().toLowerCase(), shown = 0, sorted = all.slice();
      if (order.value === "name") sorted.sort(function (a, b) { return a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true }); });
      else if (order.value) sorted.sort(function (a, b) { return value(b) - value(a); });
      sorted.forEach(function (card) {
        card.hidden = (card.dataset.name + " " + card.dataset.market).toLowerCase().indexOf(text) < 0;
        if (!card.hidden) shown += 1;
        box.appendChild(card);
      });
      count.textContent = shown === all.length ? all.length + " tickers" : shown + " of " + all.length;
    }
    bar.hidden = false;
    find.addEventListener("input", apply);
    order.addEventListener("change", apply);
    apply();
  }
  function copyable(box) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", function () {
      var range = document.createRange(), selection = window.getSelection(), done = false;
      range.selectNodeContents(box.querySelector("code"));
      selection.removeAllRanges();
      selection.addRange(range);
      try { done = document.execCommand("copy"); } catch (e) { done = false; }
      button.textContent = done ? "Copied" : "Selected";
      setTimeout(function () { button.textContent = "Copy"; }, 1600);
    });
    box.appendChild(button);
  }

  /* paper is white, everything is open and drawn on it */
  var before = null;
  window.addEventListener("beforeprint", function () {
    before = root.dataset.theme || "";
    root.dataset.theme = "light";
    document.querySelectorAll("details:not([open]):not(.data)").forEach(function (d) { if (!d.querySelector(":scope > .command > pre.long")) { d.open = true; d.dataset.shut = ""; } });
    charts.forEach(function (chart) {
      draw(chart);
      window.Plotly.relayout(chart.node, { autosize: false, width: chart.node.closest(".small-multiples") ? 320 : 660, height: chart.node.clientHeight });
    });
  });
  window.addEventListener("afterprint", function () {
    if (before) root.dataset.theme = before; else delete root.dataset.theme;
    document.querySelectorAll("details[data-shut]").forEach(function (d) { d.open = false; delete d.dataset.shut; });
    redraw();
  });

  function prepare() {
    document.querySelectorAll("table[data-sortable]").forEach(sortable);
    document.querySelectorAll(".scroll > table").forEach(takeTable);
    document.querySelectorAll(".filter[data-for]").forEach(filterable);
    document.querySelectorAll(".filter[data-cards]").forEach(cardsOf);
    document.querySelectorAll(".command").forEach(copyable);
    document.querySelectorAll("details.data").forEach(dataTable);
    findCharts();
    widths();
  }

  /* a single file holds its further pages as templates: #/tickers/aapl.html opens one, #/index.html#tickers a place */
  var open = {}, here = "index.html";
  function turnTo(path) {
    var leaf = document.querySelector('template[data-page="' + CSS.escape(path) + '"]');
    if (path === here || !(leaf || path in open)) return;
    var main = document.getElementById("main"), crumbs = document.querySelector(".crumbs");
    open[here] = { main: main, crumbs: Array.prototype.slice.call(crumbs.childNodes), title: document.title, charts: charts };
    var next = open[path], fresh = !next;
    if (fresh) {
      var copy = document.importNode(leaf.content, true);
      next = { main: copy.querySelector("main"), crumbs: Array.prototype.slice.call(copy.querySelector("nav").childNodes), title: leaf.dataset.title };
    }
    main.parentNode.replaceChild(next.main, main);
    crumbs.textContent = "";
    next.crumbs.forEach(function (node) { crumbs.appendChild(node); });
    document.title = next.title;
    here = path;
    if (fresh) prepare(); else { charts = next.charts; redraw(); }
  }
  /* a place inside what is folded: open all around it, then go there */
  function reveal(place) {
    if (!place) return;
    for (var node = place; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    place.scrollIntoView();
  }
  document.addEventListener("click", function (event) {
    var link = event.target.closest && event.target.closest('a[href^="#"]:not([href^="#/"])');
    if (link) reveal(document.getElementById(decodeURIComponent(link.getAttribute("href").slice(1))));
  });
  function follow() {
    if (location.hash.slice(0, 2) !== "#/") { reveal(location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)))); return; }
    var asked = location.hash.slice(2).split("#"), place = null;
    turnTo(decodeURIComponent(asked[0]));
    if (asked[1]) place = document.getElementById(asked[1]);
    if (place) reveal(place); else window.scrollTo(0, 0);
  }

  document.addEventListener("DOMContentLoaded", function () {
    themeButton();
    prepare();
    follow();
    window.addEventListener("hashchange", follow);
  });
})();
