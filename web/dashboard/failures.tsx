/** Why clients were refused, in plain language, and what to do about it. */
import { count } from "../shared/numbers";
import type { Failure } from "./api";
import { Block, Prose, Scroll } from "./block";
import type { Shown } from "./watch";

export function FailuresBlock({ shown }: { shown: Shown }) {
  const failures = shown.figures && [...shown.figures.failures].sort(byUrgency);
  return (
    <Block name="failures" title="Failures" command="turnstone status" trouble={shown.troubles.figures}
      aside={<p class="muted">in the last minute / since the start</p>}>
      <Scroll label="Reasons of failures, the latest first">
        {failures && failures.length > 0 ? (
          <ul>{failures.map((failure) => <Item key={`${failure.kind} ${failure.reason}`} failure={failure} />)}</ul>
        ) : (
          <p class="muted">{failures ? "Nobody was refused since the start." : "No figures yet."}</p>
        )}
      </Scroll>
    </Block>
  );
}

function Item({ failure }: { failure: Failure }) {
  const isNow = failure.last_minute > 0;
  return (
    <li class="failure">
      <p>
        <strong title={`${failure.kind}: ${failure.reason}`}>{failure.title}</strong>
        <span class="figure"><span class={isNow ? "bad" : "muted"}>{count(failure.last_minute)}</span> <span class="muted">/ {count(failure.total)}</span></span>
      </p>
      <p class="muted"><Prose text={failure.what_to_do} /></p>
    </li>
  );
}

const byUrgency = (one: Failure, other: Failure) => other.last_minute - one.last_minute || other.total - one.total;
