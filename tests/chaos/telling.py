"""A story as sentences that a person can follow."""

from collections.abc import Sequence

from tests.chaos.stories import Disturbance, Step, Story

_MANNERS = {
    "once": "",
    "patiently": ", again with the same key until there is an answer",
    "twin": ", twice at once with one key",
    "rivals": ", twice at once with two keys",
    "reloads": ", hangs up before the answer, and asks again with the same key",
    "abandoned": ", and hangs up before the answer",
}
_PINNED = {
    "open": "PayPal has opened an order, its answer is held back, and checkout is killed before it can be written down",
    "capture": "PayPal has captured, its answer is held back, and who asked is killed before it can be written down",
    "mail": "SendGrid has accepted a mail, its answer is held back, and notify is killed before it can be written down",
}


def tell(story: Story) -> list[str]:
    """The shop, then every actor's steps, then what befalls the cloud and when."""
    shop = ", ".join(f"{each.on_hand} x {each.letter} at {each.price_minor}" for each in story.goods)
    lines = [f"Story {story.seed}. In stock: {shop}."]
    if story.voucher is not None:
        lines.append(f"  A voucher: {', '.join(f'{name} {value}' for name, value in story.voucher.terms.items())}.")
    for number, cart in enumerate(story.carts, 1):
        wanted = ", ".join(f"{quantity} x {letter}" for letter, quantity in cart.items())
        lines.append(f"  Cart {number} is for {wanted}.")
    for actor, steps in story.scripts:
        lines += [f"  {actor}: {index}. {tell_step(step)}" for index, step in enumerate(steps, 1)]
    lines += [f"  meanwhile: {tell_disturbance(each)}" for each in sorted(story.disturbances, key=lambda d: d.moment)]
    if story.disturbances:
        lines.append("  (moments count the steps that all actors of the story have begun)")
    return lines


def tell_step(step: Step) -> str:
    detail, cart = step.detail, f"cart {step.cart}"
    manner = _MANNERS.get(str(detail.get("manner")), "")
    units = "one unit" if detail.get("units") == "one" else "all"
    other_amount = ", another amount" if detail.get("other_amount") else ""
    sentences = {
        "fill": f"fills {cart}",
        "search": f"searches for {detail.get('letter')}",
        "edit": f"edits {cart}: {_edit(step)}",
        "enter the voucher": f"enters the voucher's code in {cart}",
        "take the voucher out": f"takes the voucher out of {cart}",
        "place": f"places {cart}{manner}",
        "approve": f"approves the payment of {cart} at PayPal; its capture will be {detail.get('ending')}",
        "leave PayPal": f"leaves PayPal without approving {cart}",
        "return": f"comes back from PayPal with {cart}{manner}",
        "retry payment": f"asks to pay {cart} again{manner}",
        "cancel": f"cancels the order of {cart}{manner}",
        "look": f"looks at the order of {cart}",
        "adjust": f"adjusts {detail.get('letter')} by {detail.get('delta')}{manner}",
        "count": f"counts {detail.get('counted')} of {detail.get('letter')}{manner}",
        "close": f"stops taking orders for {detail.get('for_ms')} ms",
        "hold minutes": f"sets the hold to {detail.get('minutes')} minutes",
        "price": f"sets the price of {detail.get('letter')} to {detail.get('price_minor')}",
        "ship": f"hands over {units} of {cart}{', and it arrives' if detail.get('delivered') else ''}{manner}",
        "draft and cancel a parcel": f"drafts a parcel with {units} of {cart} and cancels it{manner}",
        "refund": f"refunds {_refunded(step)} of {cart}{manner}",
        "cancel what is paid": f"cancels {cart} after it was paid, as {detail.get('by')}{manner}",
        "hold back": f"holds {cart} back{manner}",
        "let go on": f"lets {cart} go on{manner}",
        "send back": f"(its buyer) sends {units} of {cart} back{manner}",
        "decide the return": f"decides the return of {cart}: {detail.get('how')}",
        "apply again": f"applies the latest {detail.get('events')} webhook events again",
        "end pending": f"ends a pending capture of {cart}: {detail.get('ending')}",
        "refund in the dashboard": f"refunds {detail.get('part')} of {cart}, from the dashboard",
        "reverse": f"reverses the payment of {cart}",
        "open a dispute": f"opens a dispute about {cart}",
        "resolve the dispute": f"resolves the dispute about {cart}: {detail.get('outcome')}",
        "second capture": f"captures {cart} {'once more' if detail.get('late') else 'by itself'}{other_amount}",
        "approve late": f"tells of the approval of {cart} once more",
        "take the approval back": f"takes the approval of {cart} back",
        "foreign capture": "tells of a capture that is none of this shop's",
        "forge": f"(a forger) signs {detail.get('event_type')} about {cart}, which is not true",
        "deliver again": f"delivers its latest event {detail.get('times')} more times, at once",
        "tamper": "(a forger) delivers its latest event with a changed body",
    }
    return sentences.get(step.deed, f"{step.deed} {cart} {dict(detail)}{manner}")


def _refunded(step: Step) -> str:
    if step.detail.get("part") != "lines":
        return f"the {step.detail.get('part')}" if step.detail.get("part") == "shipping" else "a free amount"
    units = "one unit" if step.detail.get("units") == "one" else "all lines"
    return f"{units}, {'back on the shelf' if step.detail.get('restock') else 'not restocked'},"


def _edit(step: Step) -> str:
    detail = step.detail
    edits = {
        "quantity": f"{detail.get('quantity')} x {detail.get('letter')}",
        "remove": f"no {detail.get('letter')}",
        "shipping": f"shipping {detail.get('option')}",
        "address": f"address in {detail.get('region')}",
    }
    return edits.get(str(detail.get("kind")), "")


def tell_disturbance(each: Disturbance) -> str:
    when = f"at step {each.moment}" + (f" and {each.after_ms} ms" if each.after_ms else "")
    detail = each.detail
    if each.kind == "kill":
        return f"{when}, {detail['who']} is killed"
    if each.kind == "stop":
        return f"{when}, {detail['who']} stands still for {detail['for_ms']} ms"
    if each.kind == "clock":
        return f"{when}, the clock jumps {detail['advance_s']} s"
    if each.kind == "pin":
        return f"from step {each.moment} on, cart {detail['cart']}: {_PINNED[str(detail['call'])]}"
    how = ", ".join(f"{name} {value}" for name, value in detail.items() if name not in ("target", "fault", "path"))
    return f"from step {each.moment} on, {detail['target']} {detail['path']} suffers {detail['fault']} ({how})"


def tell_all(stories: Sequence[Story]) -> str:
    return "\n".join(line for story in stories for line in tell(story))
