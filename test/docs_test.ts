import {execFileSync} from 'node:child_process';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {itAtLength} from './support/backends';

const root = fileURLToPath(new URL('..', import.meta.url));

/** All pages that git has. */
const documents = execFileSync('git', ['ls-files', '-z', '*.md'], {cwd: root, encoding: 'utf8'})
  .split('\0')
  .filter(Boolean);

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Without the blocks of code. */
function prose(path: string): string {
  return read(path).replace(/^ *```[^]*?^ *```$/gm, '');
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(path: string): string[] {
  const times = new Map<string, number>();
  return [...prose(path).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => {
    const text = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = text.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-');
    const before = times.get(anchor) ?? 0;
    times.set(anchor, before + 1);
    return before === 0 ? anchor : `${anchor}-${before}`;
  });
}

/** Of the repository's files, what a pattern matches. */
function grep(pattern: string): string[] {
  const found = execFileSync('git', ['grep', '-hoIE', pattern], {cwd: root, encoding: 'utf8'});
  return [...new Set(found.trim().split('\n'))];
}

describe('documentation', () => {
  it('names commands that there are, as comments and programs do', () => {
    const scripts = ['package.json', 'demo/package.json'].flatMap((file) =>
      Object.keys((JSON.parse(read(file)) as {scripts: object}).scripts),
    );
    const named = grep('npm run [a-z:-]*[a-z]( -w [a-z]+)?').map(
      (command) => command.split(' ')[2],
    );
    expect(named.filter((name) => !scripts.includes(name!))).to.deep.equal([]);
    for (const command of grep('npm run bench -- [a-z_]+')) {
      expect(
        existsSync(join(root, `bench/commands/${command.split(' ')[4]}.ts`)),
        command,
      ).to.equal(true);
    }
    for (const command of grep('tsx [a-z]+/[a-z_/]+[.]ts')) {
      expect(existsSync(join(root, command.split(' ')[1]!)), command).to.equal(true);
    }
  });

  itAtLength(
    'has every option as its interface describes it, with the default that the code has',
    () => {
      const arguments_ = ['--import', 'tsx', 'scripts/options_page.ts', '--check'];
      execFileSync(process.execPath, arguments_, {cwd: root, stdio: 'pipe'});
    },
  );

  it('names only files and headings that exist', () => {
    expect(documents).to.include.members(['README.md', 'docs/method.md', 'src/cli/README.md']);
    let [files, headings] = [0, 0];
    for (const document of documents) {
      for (const [, path, anchor] of prose(document).matchAll(
        /\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g,
      )) {
        const link = `${document}: ${path}${anchor === undefined ? '' : `#${anchor}`}`;
        const target = path === '' ? document : join(dirname(document), path!);
        expect(existsSync(join(root, target)), link).to.equal(true);
        files++;
        if (anchor === undefined) continue;
        expect(anchorsOf(target), link).to.include(anchor);
        headings++;
      }
    }
    expect(files).to.be.above(80);
    expect(headings).to.be.above(30);
  });

  it('maps every folder of src, each of which has a README, and every module beside them', () => {
    const map = read('docs/architecture.md').split('## How a step flows')[0]!;
    for (const entry of readdirSync(join(root, 'src'), {withFileTypes: true})) {
      const name = entry.isDirectory() ? `${entry.name}/` : entry.name;
      expect(map).to.include(`\`${name}\``);
      if (entry.isDirectory()) expect(read(`src/${name}README.md`)).to.not.equal('');
    }
  });
});
