/**
 * The texts that a report is made of. In the package, which does not depend on uPlot, the build has the texts themselves in the
 * place of this module (`tsup.config.ts`).
 */
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';

const {resolve} = createRequire(import.meta.url);

export const template = readFileSync(new URL('report_template.html', import.meta.url), 'utf8');
export const pageHead = readFileSync(new URL('page_head.html', import.meta.url), 'utf8');
export const uplotStyle = readFileSync(resolve('uplot/dist/uPlot.min.css'), 'utf8');
export const uplotScript = readFileSync(resolve('uplot/dist/uPlot.iife.min.js'), 'utf8');
