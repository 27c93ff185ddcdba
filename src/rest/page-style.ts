/** The one style sheet of the node's own pages: light and dark by the reader's setting, from phones to wide screens. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --bg: light-dark(#fbfbfd, #0d1017);
  --panel: light-dark(#ffffff, #141924);
  --sunken: light-dark(#f1f3f8, #10141d);
  --line: light-dark(#e2e5ee, #252c3b);
  --text: light-dark(#171b26, #e4e8f1);
  --dim: light-dark(#5a6377, #97a1b6);
  --accent: light-dark(#3b55e6, #8fa2ff);
  --accent-soft: light-dark(#edf0ff, #1d2444);
  --get: light-dark(#0a6b54, #5fd3b0);
  --get-soft: light-dark(#e2f5ef, #11302a);
  --post: light-dark(#3346c9, #9db0ff);
  --post-soft: light-dark(#e9edff, #1e2750);
  --patch: light-dark(#8a5a00, #f0c063);
  --patch-soft: light-dark(#fbf1dc, #352a12);
  --delete: light-dark(#b3263a, #ff8c9b);
  --delete-soft: light-dark(#fdebed, #3b1a21);
  --ok: light-dark(#0b7a4b, #57d69a);
  --bad: light-dark(#b3263a, #ff8c9b);
  --code-bg: #121725;
  --code-line: light-dark(#121725, #273047);
  --code-text: #dfe6f6;
  --code-dim: #8c99b8;
  --mono: ui-monospace, "SF Mono", "Cascadia Code", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  --radius: 10px;
}
* { box-sizing: border-box; }
html { scroll-padding-top: 76px; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--bg); color: var(--text); font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
h1, h2, h3, h4 { line-height: 1.25; margin: 0; text-wrap: balance; }
p { margin: 0 0 .75em; text-wrap: pretty; }
code { font-family: var(--mono); font-size: .875em; background: var(--sunken); border-radius: 5px; padding: .12em .35em; }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 12px; top: 12px; z-index: 9; background: var(--panel); padding: 8px 12px; }

.top { position: sticky; top: 0; z-index: 5; background: var(--bg); border-bottom: 1px solid var(--line); }
.top > div { display: flex; align-items: center; gap: 12px; height: 60px; padding: 0 24px; max-width: 1480px; margin: 0 auto; }
.brand { display: flex; align-items: center; gap: 10px; font-weight: 650; color: var(--text); white-space: nowrap; }
.brand:hover { text-decoration: none; }
.logo { width: 28px; height: 28px; color: var(--accent); flex: none; }
.version { color: var(--dim); font-size: 14px; }
.top nav { margin-left: auto; display: flex; gap: 20px; font-size: 15px; }

.layout { display: grid; grid-template-columns: 264px minmax(0, 1fr); max-width: 1480px; margin: 0 auto; }
.side { position: sticky; top: 61px; align-self: start; height: calc(100vh - 61px); overflow-y: auto; padding: 28px 12px 48px 24px; border-right: 1px solid var(--line); font-size: 14px; }
.side h2 { font-size: 12px; letter-spacing: .06em; text-transform: uppercase; color: var(--dim); margin: 22px 0 6px 8px; }
.side h2:first-child { margin-top: 0; }
.side ul { list-style: none; margin: 0; padding: 0; }
.side li a { display: flex; gap: 8px; align-items: baseline; padding: 4px 8px; border-radius: 6px; color: var(--text); line-height: 1.4; }
.side li a:hover { background: var(--sunken); text-decoration: none; }
.side .verb { flex: none; width: 44px; font: 600 11px var(--mono); text-transform: uppercase; }
.menu { display: none; }

main { padding: 40px 40px 96px; min-width: 0; }
.hero h1 { font-size: clamp(28px, 4vw, 40px); letter-spacing: -.02em; margin-bottom: 14px; }
.hero { max-width: 760px; margin-bottom: 12px; }
.hero p { font-size: 17px; color: var(--dim); }
.hero dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 18px; margin: 20px 0 0; font-size: 15px; }
.hero dt { color: var(--dim); } .hero dd { margin: 0; min-width: 0; }
.group > h2, .plain > h2 { font-size: 25px; letter-spacing: -.01em; padding-top: 52px; }
.group > p, .plain > p { color: var(--dim); margin: 6px 0 20px; max-width: 720px; }

.op { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 460px); gap: 20px 40px; padding: 32px 0 36px; border-top: 1px solid var(--line); }
.op h3 { font-size: 20px; }
.op h3 a, .schema h3 a { color: inherit; }
.endpoint { display: flex; flex-wrap: wrap; align-items: center; gap: 10px; margin: 10px 0 14px; }
.endpoint code { background: none; padding: 0; font-size: 15px; overflow-wrap: anywhere; }
.verb-get { color: var(--get); } .verb-post { color: var(--post); } .verb-patch { color: var(--patch); } .verb-delete { color: var(--delete); }
.badge { font: 650 12px/1 var(--mono); padding: 6px 9px; border-radius: 6px; text-transform: uppercase; }
.badge.verb-get { background: var(--get-soft); } .badge.verb-post { background: var(--post-soft); }
.badge.verb-patch { background: var(--patch-soft); } .badge.verb-delete { background: var(--delete-soft); }
h4 { font-size: 13px; font-weight: 650; color: var(--dim); margin: 24px 0 4px; }
.note { font-weight: 400; }

.fields { margin: 0; }
.fields > div { padding: 10px 0; border-top: 1px solid var(--line); }
.fields > div:first-child { border-top: 0; }
.fields dt { display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline; }
.fields dt code { color: var(--text); background: none; padding: 0; font-weight: 600; font-size: 14px; }
.type { color: var(--dim); font: 13px var(--mono); overflow-wrap: anywhere; }
.must { color: var(--dim); font-size: 12.5px; font-weight: 600; }
.fields dd { margin: 2px 0 0; font-size: 15px; color: var(--dim); }
.fields dd code { font-size: 13px; }
.fields .limits { font-size: 13.5px; display: block; }
.fields .fields { margin: 8px 0 0; padding-left: 14px; border-left: 2px solid var(--line); }
.fields .fields > div { padding: 7px 0; }

.answers { list-style: none; margin: 6px 0 0; padding: 0; font-size: 15px; }
.answers li { display: grid; grid-template-columns: 52px minmax(0, 1fr); gap: 6px; padding: 5px 0; color: var(--dim); }
.status { font: 650 14px/1.7 var(--mono); color: var(--ok); }
.status.bad { color: var(--bad); }
.failures { list-style: none; margin: 8px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 22px; }
.failures .status, .failures a { font-size: 13px; }
.failures a { font-family: var(--mono); margin-left: 5px; }
.members summary { cursor: pointer; color: var(--accent); font: 600 14px/2 var(--mono); }
.members > .fields { border-left: 2px solid var(--line); padding-left: 16px; margin-top: 4px; }

.samples { position: sticky; top: 84px; align-self: start; display: grid; gap: 14px; min-width: 0; }
.sample { border-radius: var(--radius); background: var(--code-bg); color: var(--code-text); border: 1px solid var(--code-line); overflow: hidden; }
.sample figcaption { font-size: 12.5px; color: var(--code-dim); padding: 9px 14px; border-bottom: 1px solid #232b40; }
.sample pre { margin: 0; padding: 13px 14px; overflow: auto; max-height: 420px; font: 13px/1.6 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; }
.sample.call pre { white-space: pre; overflow-wrap: normal; }
.sample pre code { background: none; padding: 0; font-size: inherit; }
figure { margin: 0; }
.k { color: #8fb4ff; } .s { color: #9fdcb8; } .n { color: #f3c37b; } .p { color: var(--code-dim); }

.schema { padding: 26px 0; border-top: 1px solid var(--line); max-width: 820px; }
.schema h3 { font: 650 17px var(--mono); }
.schema > p { color: var(--dim); margin: 6px 0 6px; }
.values { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 8px; }
.errors { border-top: 1px solid var(--line); }
.error { display: grid; grid-template-columns: minmax(190px, 230px) 52px minmax(0, 1fr); gap: 4px 20px; padding: 14px 0; border-bottom: 1px solid var(--line); max-width: 980px; }
.error code { background: none; padding: 0; font-weight: 600; }
.error p { margin: 0; color: var(--dim); font-size: 15px; }
.error b { color: var(--text); font-weight: 600; }
:target { scroll-margin-top: 76px; }
.error:target, .schema:target { background: var(--accent-soft); box-shadow: 0 0 0 12px var(--accent-soft); border-radius: 2px; }

@media (max-width: 1180px) {
  .op { grid-template-columns: minmax(0, 1fr); }
  .samples { position: static; }
}
@media (max-width: 860px) {
  .layout { grid-template-columns: minmax(0, 1fr); }
  .side { display: none; }
  .menu { display: block; border-bottom: 1px solid var(--line); padding: 0 20px; background: var(--panel); }
  .menu summary { padding: 14px 0; cursor: pointer; font-weight: 600; }
  .menu .side { display: block; position: static; height: auto; border: 0; padding: 0 0 20px; font-size: 15px; }
  .menu .side li a { padding: 7px 8px; }
  main { padding: 28px 20px 72px; }
  .top > div { padding: 0 20px; height: 56px; }
  .top nav { gap: 16px; } .version { display: none; }
  .error { grid-template-columns: minmax(0, 1fr) auto; } .error p { grid-column: 1 / -1; }
}
@media print {
  .top, .side, .menu { display: none; }
  .layout { display: block; }
}

.card { max-width: 720px; margin: clamp(24px, 9vh, 96px) auto 48px; padding: 0 20px; }
.card .hello { display: flex; align-items: center; gap: 16px; margin-bottom: 8px; }
.card .logo { width: 52px; height: 52px; }
.card h1 { font-size: clamp(26px, 5vw, 36px); letter-spacing: -.02em; overflow-wrap: anywhere; }
.card .lead { color: var(--dim); font-size: 17px; margin: 0 0 26px; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 8px 22px; margin: 0 0 30px; }
.facts dt { color: var(--dim); } .facts dd { margin: 0; overflow-wrap: anywhere; }
.facts code { background: none; padding: 0; }
.state { font-weight: 600; color: var(--ok); } .state.bad { color: var(--bad); }
.facts ul { margin: 0; padding: 0; list-style: none; }
.quiet { color: var(--dim); }
.doors { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 12px; margin-top: 26px; }
.doors a { display: block; padding: 14px 16px; border: 1px solid var(--line); border-radius: var(--radius); background: var(--panel); color: var(--text); }
.doors a:hover { border-color: var(--accent); text-decoration: none; }
.doors b { display: block; color: var(--accent); font-weight: 600; } .doors span { display: block; color: var(--dim); font-size: 14.5px; line-height: 1.4; margin-top: 2px; }
`;
