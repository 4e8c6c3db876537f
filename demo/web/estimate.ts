/** What a run would take against what this tab may have, and what its model would read: asked of the library as one changes things. */
import {dataTitle, givenBytes, missing, modelTitle, optionsOf, type Choice} from './choice';
import {afterPause, byId, element, setText} from './dom';
import {codeOf, inPageWords, limitsOf, wordsOf} from './errors';
import type {Form} from './form';
import {inspectInWorker, type Inspection, type StorageNeed} from './library';
import {isNoticed, onNotice} from './notice';
import {placeOf, settingNames, settings, type SettingName} from './settings';
import {bytesText, countText, examplesText, largeCountText, percentText} from './words';

const PAUSE = 400; // ms without a change, after which it is asked
/** Bytes of a text from which on reading it takes more than some seconds. */
const LONG_TEXT = 1e6;
const MOST_EXAMPLES = 5;
const MOST_LETTERS = 1200; // of an example
const MOST_PROBLEMS = 4;
/** Errors that come again unless something else is chosen, by their codes. */
const LASTING = ['wrong-file', 'refused', 'bad-option'];

export class EstimatePanel {
  /** Why nothing can be learnt of what is chosen, in words; null where there is no such reason, or none is known yet. */
  reason: string | null = null;
  private count = 0;
  /** Ends what is asked; null while nothing is, or is to be. */
  private asking: AbortController | null = null;
  /** The model and the text of what is shown. */
  private shown = '';
  /** Whether a run has kept what was asked from being answered. */
  private isCut = false;
  /** Why nothing was found, in words; null where something was, or nothing was asked. */
  private problem: string | null = null;
  /** Whether the Hub did not give what was asked for. */
  private isRefused = false;
  private readonly idle = byId('estimate-note').textContent;
  private readonly askSoon = afterPause(() => void this.ask(), PAUSE);

  /**
   * @param canKeep Whether this browser lets the page keep runs.
   * @param onFound Called with what was found, before it is shown.
   * @param onReason Called when there may be another {@link reason}, or a setting that was right is not.
   */
  constructor(
    private readonly form: Form,
    private readonly canKeep: () => boolean,
    private readonly onFound: (inspection: Inspection) => void,
    private readonly onReason: () => void,
  ) {
    onNotice(() => this.sayProblem());
  }

  /** Asks anew, unless something changes again at once. */
  update(): void {
    this.count++;
    this.asking ??= new AbortController();
    this.isRefused = false;
    const {choice} = this.form;
    const lack = missing(choice);
    const wrong = this.wrongText();
    if (lack !== null || this.shown !== titleOf(choice)) this.clear();
    else if (wrong !== null) clearEstimate();
    this.say(lack ?? wrong ?? askingText(givenBytes(choice)));
    this.setReason(lack);
    this.askSoon();
  }

  /** Asks once more for what the Hub refused, as its conditions may have been accepted elsewhere. */
  askAgain(): void {
    if (this.isRefused) this.update();
  }

  /** Asks no longer, as a run takes all of the processor. */
  stop(): void {
    const isOpen = this.shown === '' && byId('estimate-note').textContent !== this.idle;
    this.isCut = this.asking !== null || isOpen;
    this.asking?.abort();
    this.asking = null;
    this.count++;
    if (this.isCut) this.clear();
    else if (this.shown !== '') return;
    this.say('The chart of memory shows what this run takes.');
  }

  /** Asks what was not answered before the run. */
  goOn(): void {
    if (this.isCut) this.update();
    else if (this.shown === '') this.say(this.idle);
    this.isCut = false;
  }

  private async ask(): Promise<void> {
    const {asking} = this;
    if (!asking) return;
    const asked = ++this.count;
    if (missing(this.form.choice) !== null || this.wrongText() !== null) {
      this.asking = null;
      return;
    }
    try {
      const options = await optionsOf(this.form.choice);
      const inspection = await inspectInWorker(this.canKeep() ? options : {...options, run: null}, {
        signal: asking.signal,
        onProgress: ({done, total}) => {
          if (asked === this.count) this.say(askingText(total, done));
        },
      });
      if (asked !== this.count) return;
      this.shown = titleOf(this.form.choice);
      this.onFound(inspection);
      const wrong = this.wrongText(); // by the blocks that were found
      if (wrong === null) this.showEstimate(inspection);
      else {
        clearEstimate();
        this.say(wrong);
        this.onReason();
      }
      showPreview(inspection);
      if (inspection.data.tokens > 0) return;
      this.say('There is nothing to learn: see why below.', true);
      this.setReason(
        `There is nothing to learn in ${dataTitle(this.form.choice)}: see why under “What it is asked, and what it learns”.`,
      );
    } catch (error) {
      if (asked !== this.count) return;
      this.clear();
      this.form.setLimits(limitsOf(error));
      const wrong = this.wrongText();
      if (wrong !== null) {
        this.say(wrong);
        this.onReason();
        return;
      }
      this.problem = wordsOf(error).text;
      this.sayProblem();
      const code = codeOf(error);
      this.isRefused = code === 'refused';
      if (!LASTING.includes(code)) return;
      this.setReason(
        `Cannot fine-tune ${modelTitle(this.form.choice)}: see why under “Will it fit?”.`,
      );
    } finally {
      if (asked === this.count) this.asking = null;
    }
  }

  /** What is to be corrected before anything can be computed; null if nothing is. */
  private wrongText(): string | null {
    const name = this.form.firstWrong;
    return name === undefined
      ? null
      : `Correct ${placeOf(name)}, then what it takes is computed here.`;
  }

  private setReason(reason: string | null): void {
    this.reason = reason;
    this.onReason();
  }

  private clear(): void {
    this.shown = '';
    clear();
  }

  private say(text: string, isBad = false): void {
    this.problem = null;
    this.put(text, isBad);
  }

  /** Says why nothing was found, but not beside a notice that says it. */
  private sayProblem(): void {
    const {problem} = this;
    if (problem !== null) this.put(isNoticed(problem) ? noticedText : problem, true);
  }

  private put(text: string, isBad: boolean): void {
    byId('estimate-title').parentElement!.classList.toggle('tight', isBad);
    setText(byId('estimate-note'), text);
    byId('estimate-way').replaceChildren();
  }

  private showEstimate(inspection: Inspection): void {
    const {estimate, plainBytes, limit, nearest, config, storage} = inspection;
    const fits = limit === null || estimate.total <= limit;
    const room = limit === null ? '' : ` of the ${bytesText(limit)} that this tab may have`;
    this.say(
      `${fits ? 'Yes: it takes' : 'No: it would take'} ${bytesText(estimate.total)}${room}. ` +
        `Plain fine-tuning, all weights by Adam and every activation kept, takes ${bytesText(plainBytes)}. ` +
        `${largeCountText(config.parameters)} parameters in ${config.blocks} blocks. How long it takes is shown after its first steps.`,
      !fits,
    );
    showStorage(storage);
    drawStack(estimate, plainBytes, limit);
    if (fits) return;
    byId('estimate-way').replaceChildren(...(nearest ? [this.wayOf(nearest)] : [nothingFits()]));
  }

  private wayOf(nearest: object): HTMLElement {
    const known = Object.entries(nearest).filter(([name]) =>
      settingNames.includes(name as SettingName),
    ) as [SettingName, string | number][];
    const words = known.map(
      ([name, value]) => `“${settings[name].label}” to ${wordOf(name, value)}`,
    );
    const button = element('button', {type: 'button', textContent: `Set ${words.join(', ')}`});
    button.addEventListener('click', () => {
      this.form.apply(Object.fromEntries(known));
    });
    return button;
  }
}

function wordOf(name: SettingName, value: string | number): string {
  const setting = settings[name];
  return setting.kind === 'choice' ? `“${setting.choices[value] ?? value}”` : String(value);
}

const noticedText = 'Not known, for the reason in the box at the bottom of the window.';

function nothingFits(): HTMLElement {
  return element('span', {
    className: 'note',
    textContent: 'No setting makes it fit: choose a smaller model.',
  });
}

/** What is being done, where a text has so many bytes, and how much of them is read; 0: nobody knows yet. */
function askingText(bytes: number, read = 0): string {
  const how = read === 0 ? 'which can take a while' : `${percentText(read / bytes)} so far`;
  return bytes < LONG_TEXT
    ? 'Computing what it takes …'
    : `Computing what it takes: reading all ${bytesText(bytes)} of the text, ${how}. You need not wait for it to start.`;
}

function titleOf(choice: Choice): string {
  return `${modelTitle(choice)}, ${dataTitle(choice)}`;
}

let ghost: Element | null = null;

/** Takes away what was shown of an earlier choice. */
function clear(): void {
  // a word of what will be there
  ghost ??= document.querySelector('#examples .ghost');
  byId('examples').replaceChildren(ghost!);
  setText(byId('problems'), '');
  clearEstimate();
}

function clearEstimate(): void {
  const stack = byId('estimate-stack');
  stack.replaceChildren();
  stack.ariaLabel = 'No estimate yet';
  setText(byId('estimate-whole'), '');
  showStorage(null);
}

/** What the run keeps, and whether there is room for it. */
function showStorage(storage: Inspection['storage']): void {
  const note = byId('estimate-storage');
  const isShort = storage !== null && storage.free !== null && storage.free < mostOf(storage);
  note.classList.toggle('short', isShort);
  setText(note, storage === null ? '' : storageText(storage, isShort));
}

/** The most that is there at a time: two checkpoints, or the model as it was saved and the file of a download that is made of it. */
function mostOf({kept, peak, saved}: StorageNeed): number {
  return Math.max(peak, kept + 2 * saved);
}

/** A download stays in the storage until a later visit. */
function storageText(storage: StorageNeed, isShort: boolean): string {
  const {kept, saved, free} = storage;
  const need = `Takes up to ${bytesText(kept + saved)} of this browser’s storage, downloads included, and ${bytesText(mostOf(storage))} for a moment while it saves`;
  return isShort
    ? `${need}: more than the ${bytesText(free!)} that are free. Delete earlier runs below, or make room on the disk.`
    : `${need}.`;
}

const SVG = 'http://www.w3.org/2000/svg';

/** The parts beside each other, and a line for what the tab may have. */
function drawStack(
  {total, parts}: Inspection['estimate'],
  plainBytes: number,
  limit: number | null,
): void {
  const most = Math.max(total, plainBytes, limit !== null && limit < 2 * plainBytes ? limit : 0);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 100 10');
  svg.setAttribute('preserveAspectRatio', 'none');
  let x = 0;
  const rest = Math.max(0, total - parts.weights - parts.state);
  const widths = {weights: parts.weights, state: parts.state, activations: rest};
  const add = (name: string, from: number, width: number) => {
    const rect = document.createElementNS(SVG, 'rect');
    rect.setAttribute('class', `fill-${name}`);
    rect.setAttribute('x', String(from));
    rect.setAttribute('width', String(width));
    rect.setAttribute('height', '10');
    svg.append(rect);
  };
  for (const [name, bytes] of Object.entries(widths)) {
    const width = (100 * bytes) / most;
    add(name, x, width);
    x += width;
  }
  if (limit !== null && limit <= most) add('limit', Math.min((100 * limit) / most, 99.4), 0.6);
  const stack = byId('estimate-stack');
  stack.setAttribute(
    'aria-label',
    `${bytesText(total)}: weights ${bytesText(parts.weights)}, optimizer ${bytesText(parts.state)}, the rest ${bytesText(rest)}; plain fine-tuning ${bytesText(plainBytes)}`,
  );
  stack.replaceChildren(svg);
  const whole =
    most === limit
      ? 'what the tab may have'
      : most === plainBytes
        ? 'plain fine-tuning'
        : 'this run';
  setText(byId('estimate-whole'), `the whole bar: ${bytesText(most)}, ${whole}`);
}

/** Examples in pieces, those that are learnt marked; all of it as text. */
function showPreview({data}: Inspection): void {
  const examples = data.preview.slice(0, MOST_EXAMPLES).map((pieces) => {
    let left = MOST_LETTERS;
    const parts = pieces.flatMap(({text, isLearnt}) => {
      const shown = text.slice(0, left);
      left -= shown.length;
      const cut = shown.length < text.length ? `${shown}…` : shown;
      return cut === '' ? [] : [element(isLearnt ? 'mark' : 'span', {textContent: cut})];
    });
    return element(
      'p',
      {},
      ...parts.flatMap((part, i) =>
        areApart(parts[i - 1], part) ? [element('br'), part] : [part],
      ),
    );
  });
  byId('examples').replaceChildren(...examples);
  setText(byId('problems'), problemsOf(data));
}

/** Whether two pieces, which the model reads without a gap, are a question and its answer, and no parts of one word. */
function areApart(before: HTMLElement | undefined, after: HTMLElement): boolean {
  const text = before?.textContent ?? '';
  return /\S\s|[?.:!]$/.test(text) && /\S$/.test(text) && /^\S/.test(after.textContent ?? '');
}

/** How many examples there are, and what is wrong with some. */
function problemsOf({examples, usable, tokens, problems}: Inspection['data']): string {
  const isNone = tokens === 0;
  const more = problems.length - MOST_PROBLEMS;
  const shown = problems.slice(0, MOST_PROBLEMS).map(inPageWords);
  return [
    isNone
      ? examples === 0
        ? 'No example can be read:'
        : `0 of ${countText(examples)} examples can be learnt:`
      : `${examplesText(usable, examples)}, ${largeCountText(tokens)} tokens.`,
    ...(isNone ? shown.map((problem) => problem.replace(/^1 dropped, in /, '')) : shown),
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join('\n');
}
