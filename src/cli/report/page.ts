/** An HTML file that needs nothing else, neither beside it nor from a network. */
import {writeFileSync} from 'node:fs';
import {fillPage} from './fill_page';
import {pageHead, uplotScript, uplotStyle} from './report_files';

/** Writes a page; see {@link pageOf}. */
export function writePage(file: string, ...page: Parameters<typeof pageOf>): void {
  writeFileSync(file, pageOf(...page));
}

/** The text of a page; see {@link fillPage}. */
export function pageOf(template: string, placeholder: string, data: object): string {
  return fillPage({pageHead, uplotStyle, uplotScript}, template, placeholder, data);
}
