/** The comparison as one HTML file that needs nothing else, from `page_template.html` and the summaries of settings. */
import {readFileSync} from 'node:fs';
import {writePage} from '../../src/cli/report/page';
import {gammaMemory, methodMemory} from './paper';
import type {SettingSummary} from './summary';

export function writeComparison(file: string, settings: readonly SettingSummary[]): void {
  const template = readFileSync(new URL('page_template.html', import.meta.url), 'utf8');
  writePage(file, template, '"comparison"', {settings, paper: {gammaMemory, methodMemory}});
}
