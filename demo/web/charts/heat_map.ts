/**
 * Blocks × steps: which trained when, beside each block's score and probability. A step is drawn when it comes, and what is there stays; only
 * another size or other colours draw all of it again.
 */
import {color, element, onColorsChange, setText} from '../dom';
import {frames} from '../frames';
import type {BlockInfo} from '../library';
import type {RunLog} from '../run_log';
import {countText, percentText} from '../words';

const AXIS = 20;
const idleBlocks = 8;

export class HeatMap {
  private readonly context: CanvasRenderingContext2D;
  private log: RunLog | null = null;
  private info: RunLog['info'] = null;
  private rowElements: HTMLElement[] = [];
  private blocks = 0;
  /** How many steps are in the picture. */
  private drawn = 0;
  /** The steps that the picture has room for. */
  private steps = 1;
  private pointed: {block: number; step: number} | null = null;
  private readonly idle: {label: string; readout: string};

  constructor(
    private readonly frame: HTMLElement,
    private readonly rowList: HTMLElement,
    private readonly canvas: HTMLCanvasElement,
    private readonly readout: HTMLElement,
  ) {
    this.context = canvas.getContext('2d')!;
    this.idle = {label: canvas.ariaLabel ?? '', readout: readout.textContent ?? ''};
    this.makeRows(idleBlocks); // drawn as soon as the canvas has a size
    const redraw = () => this.drawAll();
    new ResizeObserver(() => frames.ask(redraw)).observe(canvas);
    onColorsChange(() => frames.ask(redraw));
    canvas.addEventListener('pointermove', (event) => this.pointAt(event.offsetX, event.offsetY));
    canvas.addEventListener('pointerdown', (event) => this.pointAt(event.offsetX, event.offsetY));
    canvas.addEventListener('pointerleave', () => this.point(null));
    canvas.addEventListener('keydown', (event) => this.moveBy(event));
    canvas.addEventListener('focus', () => this.readout.setAttribute('aria-live', 'polite'));
    canvas.addEventListener('blur', () => {
      this.readout.removeAttribute('aria-live');
      this.point(null);
    });
  }

  /** Makes room for so many blocks. */
  setBlocks(count: number): void {
    if (count === this.blocks) return;
    this.makeRows(count);
    this.drawAll();
  }

  private makeRows(count: number): void {
    this.blocks = count;
    this.frame.style.setProperty('--rows', String(count));
    this.rowElements = Array.from({length: count}, (_, i) =>
      element(
        'div',
        {className: 'row'},
        element('span', {textContent: String(i)}),
        element(
          'span',
          {className: 'bars'},
          element('i', {className: 'score'}),
          element('i', {className: 'probability'}),
        ),
      ),
    );
    this.rowList.replaceChildren(...this.rowElements);
  }

  draw(log: RunLog): void {
    const isOther = log !== this.log || log.info !== this.info;
    this.log = log;
    this.info = log.info;
    if (isOther && !log.info) {
      this.makeRows(this.blocks);
      this.pointed = null;
      setText(this.readout, this.idle.readout);
    } else if (isOther && log.info) {
      this.steps = log.info.steps;
      this.setBlocks(log.info.blocks.length);
      this.setBars(log.info.blocks);
    }
    if (isOther || log.steps.length < this.drawn) this.drawAll();
    else this.drawSteps();
    const on = new Set(log.outcome ? [] : log.last?.blocks);
    this.rowElements.forEach((row, i) => row.classList.toggle('on', on.has(i)));
    if (this.pointed) this.showReadout();
  }

  describe(log: RunLog): void {
    if (!log.info || !log.last) {
      this.canvas.ariaLabel = this.idle.label;
      return;
    }
    const most = log.info.blocks
      .map((_, i) => i)
      .sort((a, b) => (log.stepsTrained[b] ?? 0) - (log.stepsTrained[a] ?? 0))[0]!;
    this.canvas.setAttribute(
      'aria-label',
      `Which block trained in which step: ${log.info.blocks.length} blocks, ${log.last.step} steps; now ` +
        `${log.last.blocks.join(', ') || 'none'}; most often block ${most}, in ${log.stepsTrained[most] ?? 0} steps. ` +
        'Arrow keys move through it.',
    );
  }

  rows(log: RunLog): string[][] {
    const blocks = log.info?.blocks ?? [];
    return [
      ['Block', 'Score', 'Probability', 'Steps trained'],
      ...blocks.map(({score, probability}, i) => [
        String(i),
        score === null ? '–' : score.toPrecision(3),
        percentText(probability),
        String(log.stepsTrained[i] ?? 0),
      ]),
    ];
  }

  private setBars(blocks: readonly BlockInfo[]): void {
    const largest = Math.max(...blocks.map(({score}) => score ?? 0), Number.MIN_VALUE);
    blocks.forEach(({score, probability}, i) => {
      const [first, second] = this.rowElements[i]!.querySelectorAll('i');
      first!.style.transform = `scaleX(${(score ?? 0) / largest})`;
      second!.style.transform = `scaleX(${probability})`;
    });
  }

  private get cells(): {width: number; height: number; ratio: number} {
    const ratio = devicePixelRatio;
    const {width, height} = this.canvas;
    return {width, height: height - AXIS * ratio, ratio};
  }

  private drawAll(): void {
    const {clientWidth, clientHeight} = this.canvas;
    const ratio = devicePixelRatio;
    if (clientWidth === 0) return;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    const {width, height} = this.cells;
    const gap = Math.max(1, Math.round(ratio));
    this.context.fillStyle = color('off');
    for (let block = 0; block < this.blocks; block++) {
      const [top, bottom] = this.rowEdges(block, height);
      this.context.fillRect(0, top, width, bottom - top - gap);
    }
    this.drawAxis();
    this.drawn = 0;
    this.drawSteps();
  }

  private drawAxis(): void {
    const {width, height, ratio} = this.cells;
    const {context} = this;
    context.fillStyle = color('soft');
    context.font = `${12 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
    context.textBaseline = 'bottom';
    const bottom = height + AXIS * ratio - ratio;
    if (!this.log?.info) return;
    context.textAlign = 'left';
    context.fillText('0', 0, bottom);
    context.textAlign = 'right';
    context.fillText(`step ${this.steps}`, width, bottom);
  }

  private drawSteps(): void {
    const {log} = this;
    if (!log) return;
    const {width, height, ratio} = this.cells;
    const gap = Math.max(1, Math.round(ratio));
    this.context.fillStyle = color('lit');
    for (; this.drawn < log.steps.length; this.drawn++) {
      const {step, blocks} = log.steps[this.drawn]!;
      const left = Math.round(((step - 1) / this.steps) * width);
      const right = Math.max(Math.round((step / this.steps) * width), left + 1);
      for (const block of blocks) {
        const [top, bottom] = this.rowEdges(block, height);
        this.context.fillRect(left, top, right - left, bottom - top - gap);
      }
    }
  }

  private rowEdges(block: number, height: number): [top: number, bottom: number] {
    return [
      Math.round((block / this.blocks) * height),
      Math.round(((block + 1) / this.blocks) * height),
    ];
  }

  private pointAt(x: number, y: number): void {
    const step = Math.floor((x / this.canvas.clientWidth) * this.steps) + 1;
    const block = Math.floor((y / (this.canvas.clientHeight - AXIS)) * this.blocks);
    this.point(block < this.blocks ? {block, step} : null);
  }

  private moveBy(event: KeyboardEvent): void {
    const moves: Record<string, [block: number, step: number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const move = moves[event.key];
    if (!move || !this.log?.last) return;
    event.preventDefault();
    const {block, step} = this.pointed ?? {block: 0, step: this.log.last.step};
    this.point({
      block: Math.min(Math.max(block + move[0], 0), this.blocks - 1),
      step: Math.min(Math.max(step + move[1], 1), this.log.last.step),
    });
  }

  private point(at: {block: number; step: number} | null): void {
    this.pointed = at;
    this.showReadout();
  }

  private showReadout(): void {
    const {log, pointed} = this;
    if (!log?.info) return;
    if (!pointed) {
      setText(
        this.readout,
        'Each row is a block, each column a step. Point at a cell to see when and why.',
      );
      return;
    }
    const {block, step} = pointed;
    const known = log.steps.find((one) => one.step === step);
    const info = log.info.blocks[block];
    if (!info) return;
    const period = known && log.periodOf(step); // of a step that is to come nobody knows
    const what = !known ? 'not there yet' : known.blocks.includes(block) ? 'trains' : 'sleeps';
    const part = percentText(info.probability);
    setText(
      this.readout,
      `Block ${block}, step ${countText(step)}: ${what}. ` +
        (period ? `From step ${countText(period.step)}: ${period.why}. ` : '') +
        (info.score === null
          ? `Probability ${part}.`
          : `Score ${info.score.toPrecision(3)}, probability ${part}.`),
    );
  }
}
