/** The comparison as one HTML file that needs nothing else, from `page_template.html`, uPlot and the summaries of settings. */
import {readFileSync, writeFileSync} from 'node:fs';
import {uplotScript, uplotStyle} from '../../src/report/report_files';
import {gammaMemory, methodMemory} from './paper';
import type {SettingSummary} from './summary';

export function writePage(file: string, settings: readonly SettingSummary[]): void {
  const data = {settings, paper: {gammaMemory, methodMemory}};
  const parts: [placeholder: string, text: string][] = [
    ['/* uplotStyle */', uplotStyle],
    ['/* uplotScript */', uplotScript],
    // The text of a script element ends at the first "</script": no "<" may stand in the data.
    ['"comparison"', JSON.stringify(data).replaceAll('<', '\\u003c')],
  ];
  let html = readFileSync(new URL('page_template.html', import.meta.url), 'utf8');
  for (const [placeholder, text] of parts) html = html.replace(placeholder, () => text);
  writeFileSync(file, html);
}
