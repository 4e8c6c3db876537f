/** The report of a run: the same page that the command line and the demo write. */
import pageHead from '../../src/cli/report/page_head.html?raw';
import template from '../../src/cli/report/report_template.html?raw';
import {fillPage} from '../../src/cli/report/fill_page';
import type {RunRecord} from '../../src/cli/report/report';
import uplotScript from 'uplot/dist/uPlot.iife.min.js?raw';
import uplotStyle from 'uplot/dist/uPlot.min.css?raw';
import {total} from './charts/memory';
import {hand} from './download';
import type {RunLog} from './run_log';
import {methodTitle, settingNames, settings, type SettingName} from './settings';
import {rateText, writtenText} from './words';

/** What a run is of, in words, and its method by the library's name. */
export interface ReportTitle {
  model: string;
  data: string;
  method: string;
}

export function downloadReport(log: RunLog, title: ReportTitle): void {
  const files = {pageHead, uplotStyle, uplotScript};
  const html = fillPage(files, template, '"runRecord"', recordOf(log, title));
  hand(new Blob([html], {type: 'text/html'}), 'owlore-report.html');
}

function recordOf(log: RunLog, title: ReportTitle): RunRecord {
  const {model, data, method} = title;
  const info = log.info!;
  const before = new Map<string, string>();
  const after = new Map<string, string>();
  for (const sample of log.samples) {
    const {prompt} = sample;
    const text = writtenText(sample);
    if (!before.has(prompt)) before.set(prompt, text);
    after.set(prompt, text);
  }
  const peaks = log.steps.map(total);
  return {
    title: `${methodTitle(method)}: ${model} on ${data}`,
    lead: `Fine-tuned in a browser, on the ${info.backend} backend.`,
    method: methodTitle(method),
    backend: info.backend,
    parameters: info.parameters,
    seconds: log.outcome?.seconds ?? 0,
    settings: settingsOf(log, title),
    next: [],
    scoreTitle: info.blocks.some(({score}) => score !== null) ? 'score' : null,
    outsideBlocks: method === 'badam' || method === 'lora' ? 'none' : 'all',
    blocks: info.blocks.map(({name, score, probability}, i) => ({
      name,
      score,
      probability,
      stepsTrained: log.stepsTrained[i] ?? 0,
    })),
    steps: log.steps.map(({loss, learningRate, blocks, ...step}, i) => ({
      loss,
      learningRate,
      active: info.blocks.map((_, block) => blocks.includes(block)),
      peak: peaks[i] ?? step.peakBytes,
    })),
    heldOut: log.heldOut,
    savedStep: log.heldOut.at(-1)?.step ?? 0,
    memory: {
      method: {
        peak: Math.max(0, ...peaks),
        state: Math.max(0, ...log.steps.map(({memory}) => memory.state)),
      },
      full: null,
      ...(info.plainBytes > 0 && {plain: info.plainBytes}),
    },
    samples: [...after].map(([prompt, text]) => ({
      prompt,
      before: before.get(prompt) ?? '',
      after: text,
    })),
  };
}

/** What stands in the report of its own, or has no place in it. */
const LEFT_OUT: readonly SettingName[] = [
  'method',
  'steps',
  'backend',
  'prompts',
  'run',
  'threads',
];

/** What there is to know of how it was made: the settings under the names that the form has for them. */
function settingsOf({info, steps}: RunLog, title: ReportTitle): RunRecord['settings'] {
  const {model, data, method} = title;
  const {dataset = {}, ...options} = info!.options;
  const given = {...options, ...dataset} as Record<string, unknown>;
  const named = settingNames.flatMap((name): [string, string | number][] => {
    const {label, matters} = settings[name];
    const value = given[name];
    const isThere = value !== undefined && typeof value !== 'object' && !LEFT_OUT.includes(name);
    if (!isThere || !(matters?.(method) ?? true)) return [];
    return [[label.charAt(0).toLowerCase() + label.slice(1), valueText(name, value as string)]];
  });
  return {
    model,
    data,
    method: methodTitle(method),
    ...Object.fromEntries(named),
    'first rate': rateText(steps[0]?.learningRate ?? 0),
    steps: info!.steps,
    'tokens a step': info!.tokensPerStep,
    threads: info!.threads,
  };
}

/** A value as the form has it. */
function valueText(name: SettingName, value: string | number | boolean): string | number {
  const setting = settings[name];
  if (setting.kind === 'choice') return setting.choices[String(value)] ?? String(value);
  return typeof value === 'number' ? value : String(value);
}
