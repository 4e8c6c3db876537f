/** An HTML file that needs nothing else, neither beside it nor from a network. */
import {writeFileSync} from 'node:fs';
import {pageHead, uplotScript, uplotStyle} from './report_files';

/** Writes a page; see {@link pageOf}. */
export function writePage(file: string, ...page: Parameters<typeof pageOf>): void {
  writeFileSync(file, pageOf(...page));
}

/**
 * The text of a page.
 *
 * @param template HTML with `<!-- pageHead -->`, which is replaced by `page_head.html`: uPlot, and the style and the functions that all
 *   pages share. Placeholders stand where its formatter leaves them alone.
 * @param placeholder What is replaced by `data` as JSON, in a script element of its own.
 */
export function pageOf(template: string, placeholder: string, data: object): string {
  const parts: [placeholder: string, text: string][] = [
    ['<!-- pageHead -->', pageHead],
    ['/* uplotStyle */', uplotStyle],
    ['/* uplotScript */', uplotScript],
    // The text of a script element ends at the first "</script": no "<" may stand in the data.
    [placeholder, JSON.stringify(data).replaceAll('<', '\\u003c')],
  ];
  let html = template;
  for (const [placeholder, text] of parts) html = html.replace(placeholder, () => text);
  return html;
}
