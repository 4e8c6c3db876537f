/** The links of the packed pages. */
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';

/** Throws if a link of a page leads to a file that is not in the package; of headings `test/docs_test.ts` takes care. */
export function checkLinks(folder: string): void {
  const pages = readdirSync(folder, {recursive: true, encoding: 'utf8'}).filter((file) =>
    file.endsWith('.md'),
  );
  const links = pages.flatMap((page) => linksOf(readFileSync(join(folder, page), 'utf8'), page));
  console.log(`${links.length} links in ${pages.length} pages`);
  const dead = links.filter(({page, path}) => {
    const file = join(dirname(page), path);
    return file.startsWith('..') || !existsSync(join(folder, file));
  });
  if (dead.length > 0) {
    const named = dead.map(({page, path}) => `${path} of ${page}`);
    throw new Error(`not in the package: ${named.join(', ')}`);
  }
  if (links.length < 50) throw new Error('there are fewer links than there must be');
}

/** The files that a page links to, without its blocks of code. */
function linksOf(text: string, page: string): Array<{page: string; path: string}> {
  const prose = text.replace(/^ *```[^]*?^ *```$/gm, '');
  const found = prose.matchAll(
    /\]\((?!https?:|#)([^)#\s]+)|\b(?:src|href)="(?!https?:|#)([^"#]+)/g,
  );
  return [...found].map(([, path, attribute]) => ({page, path: (path ?? attribute)!}));
}
