// Oracle for templates: renders liquid_cases.json with liquidjs and with ours and compares.
// Usage: node liquid_oracle.mjs MAIL_TOOL. Installs liquidjs from npm into a throw-away folder; says
// SKIP when that is not possible. LIQUIDJS may name a folder that has node_modules/liquidjs already.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

process.env.TZ = 'UTC';
const tool = process.argv[2];
const here = dirname(fileURLToPath(import.meta.url));
const { values, cases } = JSON.parse(readFileSync(join(here, 'liquid_cases.json'), 'utf8'));

function install() {
    if (process.env.LIQUIDJS)
        return { folder: process.env.LIQUIDJS, remove: () => {} };
    const folder = mkdtempSync(join(tmpdir(), 'postfleet-liquid-'));
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    const remove = () => rmSync(folder, { recursive: true, force: true });
    const run = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', 'liquidjs@10'],
                          { cwd: folder, encoding: 'utf8', timeout: 120000 });
    if (run.status !== 0) {
        remove();
        console.log('1..0 # SKIP liquidjs could not be installed from npm');
        process.exit(0);
    }
    return { folder, remove };
}

const { folder, remove } = install();
const { Liquid } = createRequire(join(folder, 'x.js'))('liquidjs');
const options = { strictFilters: true, preserveTimezones: true, timezoneOffset: 0 };
const text = new Liquid(options);
const html = new Liquid({ ...options, outputEscape: 'escape' });

const input = cases.map((c) => JSON.stringify({ ...c, values }) + '\n').join('');
const lines = execFileSync(tool, ['liquid'], { input, encoding: 'utf8', maxBuffer: 1 << 26 })
    .trimEnd().split('\n');
let failed = 0;
console.log(`1..${cases.length}`);
cases.forEach((c, i) => {
    let theirs;
    try {
        theirs = (c.kind === 'html' ? html : text).parseAndRenderSync(c.template, values);
    } catch (e) {
        theirs = `error: ${e.message}`;
    }
    const answer = JSON.parse(lines[i]);
    const ours = answer.ok ? answer.out : `error: ${answer.error}`;
    const ok = ours === theirs;
    failed += ok ? 0 : 1;
    console.log(`${ok ? 'ok' : 'not ok'} ${i + 1}`);
    if (!ok)
        console.log(`# ${JSON.stringify(c.template)}\n# liquidjs ${JSON.stringify(theirs)}\n# ours     ${JSON.stringify(ours)}`);
});
remove();
process.exit(failed ? 1 : 0);
